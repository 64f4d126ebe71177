"""Benchmarks of pruning, each against its baseline in the same run."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from evaluation.arguments import add_commands
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
    """The command line."""
    whole = ArgumentParser(prog="python -m loadtest.benchmarks", description=__doc__)
    add_commands(whole, "loadtest.benchmarks", BENCHMARKS)
    return whole


if __name__ == "__main__":
    sys.exit(main())
