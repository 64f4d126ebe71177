"""Benchmarks of pruning, each against its baseline in the same run."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import openai

from loadtest.benchmarks import overhead, prefill, selectors
from loadtest.failure import LoadTestError
from loadtest.reporting import command_line

BENCHMARKS = {"selectors": selectors, "prefill": prefill, "overhead": overhead}


def main(words: Sequence[str] | None = None) -> int:
    """Run a benchmark; return the exit status."""
    words = sys.argv[1:] if words is None else words
    arguments = parser().parse_args(words)
    try:
        print(arguments.run(arguments, command_line("loadtest.benchmarks", words)))
    except (LoadTestError, openai.OpenAIError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def parser() -> ArgumentParser:
    """Describe the command line."""
    whole = ArgumentParser(prog="python -m loadtest.benchmarks", description=__doc__)
    commands = whole.add_subparsers(metavar="BENCHMARK", required=True)
    for name, module in BENCHMARKS.items():
        assert module.__doc__
        one = commands.add_parser(name, help=module.__doc__.splitlines()[0], description=module.__doc__)
        one.add_argument("--output", type=Path, required=True, help="folder for the results")
        module.add_arguments(one)
        one.set_defaults(run=module.run)
    return whole


if __name__ == "__main__":
    sys.exit(main())
