"""What pruning costs and what it saves, measured: tables and figures as in the G-Prune paper, on any served model."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from importlib import import_module

from evaluation.failure import EvaluationError

COMMANDS = (
    *("agreement", "table1", "table2", "table3", "beyond", "sweep", "degree", "shadow", "flops", "figures", "lmms"),
    "results",
)
INTERRUPTED = 130
"""Exit status of a program that Ctrl-C ended."""


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    words = sys.argv[1:] if words is None else words
    arguments = parser().parse_args(words, Namespace(words=words))
    try:
        arguments.run(arguments)
    except EvaluationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    return 0


def parser() -> ArgumentParser:
    whole = ArgumentParser(prog="python -m evaluation", description=__doc__)
    commands = whole.add_subparsers(metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = import_module(f"evaluation.commands.{name}")
        summary = str(module.__doc__).splitlines()[0].replace("%", "%%")  # argparse formats it
        command = commands.add_parser(name, help=summary, description=module.__doc__)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return whole


if __name__ == "__main__":
    sys.exit(main())
