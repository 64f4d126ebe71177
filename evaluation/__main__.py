"""What pruning costs and what it saves, measured: tables and figures as in the G-Prune paper, on any served model."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from evaluation.arguments import add_commands
from evaluation.failure import EvaluationError

COMMANDS = ("table1", "table2", "table3", "beyond", "sweep", "flops", "figures", "lmms", "results")
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
    """The command line."""
    whole = ArgumentParser(prog="python -m evaluation", description=__doc__)
    add_commands(whole, "evaluation.commands", COMMANDS)
    return whole


if __name__ == "__main__":
    sys.exit(main())
