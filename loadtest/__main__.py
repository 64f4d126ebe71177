"""Put load on an OpenAI-compatible server that reads images, and measure what it does at each pruning ratio.

    python -m loadtest --url http://localhost:8000 --ratios 0,0.7 --concurrency 1,8 --output DIR
    python -m loadtest compare DIR DIR [--output FILE] [--fail-slower PERCENT]

The exit status is 0 if all is well, 1 if a request failed or a gate is missed, and 2 if nothing could be measured.
"""

import asyncio
import random
import sys
from argparse import Namespace
from collections.abc import Sequence

from loadtest.arguments import cells, check, parser
from loadtest.comparison import compare
from loadtest.failure import LoadTestError, status_of
from loadtest.gates import Result, faults
from loadtest.images import generated
from loadtest.report import as_table, write_report
from loadtest.reporting import command_line, write_json
from loadtest.target import reach


def main(words: Sequence[str] | None = None) -> int:
    """Run a load test or compare two; return the exit status."""
    words = sys.argv[1:] if words is None else words
    return status_of(lambda: compare(words[1:]) if words[:1] == ["compare"] else run(words))


def run(words: Sequence[str]) -> bool:
    """Run a load test; return whether all was well."""
    whole = parser(__doc__ or "")
    arguments = whole.parse_args(words)
    check(whole, arguments)
    results, broken = asyncio.run(measure(arguments))
    found = [*faults(results, [*arguments.fail_over, *arguments.fail_under]), *broken]
    write_report(results, found, arguments.url, command_line("loadtest", words), arguments.output)
    print(as_table(results), *(found or ["passed"]), f"report: {arguments.output / 'report.md'}", sep="\n")
    return not found


async def measure(arguments: Namespace) -> tuple[list[Result], list[str]]:
    """Measure all cells, and write each down as soon as it is there; return them, and why there are no more.

    Raises:
        LoadTestError: nothing could be measured.
    """
    source = random.Random(arguments.seed)
    target = reach(arguments.url, arguments.api_key, arguments.model, arguments.metrics_url)
    from loadtest.driver import Driver  # vLLM takes seconds to import, and is not needed to refuse or to compare
    from loadtest.workload import Workload

    workload = Workload(generated(arguments.size, source), arguments.max_tokens)
    driver = Driver(target, workload, arguments.requests, source, arguments.extra_body, dict(arguments.slo))
    arguments.output.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    for cell in cells(arguments):
        print(cell.name, file=sys.stderr)
        try:
            results.append(await driver.measure(cell))
        except LoadTestError as error:
            if not results:
                raise
            return results, [str(error)]
        write_json(arguments.output / f"{cell.name}.json", results[-1])
    return results, []


if __name__ == "__main__":
    sys.exit(main())
