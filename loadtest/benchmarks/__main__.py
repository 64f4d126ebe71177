"""Benchmarks of pruning, each against its baseline in the same run."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from evaluation.failure import EvaluationError

BENCHMARKS = ("selectors", "prefill", "overhead")


def main(words: Sequence[str] | None = None) -> int:
    """Run a benchmark; return the exit status."""
    words = sys.argv[1:] if words is None else words
    arguments = parser().parse_args(words, Namespace(words=words))
    try:
        arguments.run(arguments)
    except EvaluationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def parser() -> ArgumentParser:
    """The command line. Each benchmark is a module that says what it is, adds its arguments and runs."""
    whole = ArgumentParser(prog="python -m loadtest.benchmarks", description=__doc__)
    commands = whole.add_subparsers(metavar="BENCHMARK", required=True)
    for name in BENCHMARKS:
        module = import_module(f"loadtest.benchmarks.{name}")
        assert module.__doc__
        summary = module.__doc__.splitlines()[0].replace("%", "%%")  # argparse formats it
        one = commands.add_parser(name, help=summary, description=module.__doc__.replace("%", "%%"))
        one.add_argument("--output", type=Path, required=True, help="folder for the results")
        module.add_arguments(one)
        one.set_defaults(run=module.run)
    return whole


if __name__ == "__main__":
    sys.exit(main())
