"""Put load on an OpenAI-compatible server that reads images, and measure what it does at each pruning ratio.

    python -m loadtest --url http://localhost:8000 --ratios 0,0.7 --concurrency 1,8 --output DIR
    python -m loadtest compare DIR DIR [--output FILE] [--fail-slower PERCENT]

The exit status is 0 if all is well, 1 if a request failed or a gate is missed, and 2 if nothing could be measured.
"""

import asyncio
import random
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

from evaluation.failure import EvaluationError
from evaluation.files import write_text
from loadtest.arguments import api_key, cells, check, not_negative, parser
from loadtest.comparison import as_markdown, changes
from loadtest.gates import faults
from loadtest.images import generated, given, repeated
from loadtest.measuring import Meter, measure_all
from loadtest.report import as_table, read_results, write_report, write_result
from loadtest.result import Measurement, Result, result_of
from loadtest.target import Target
from loadtest.workload import PROMPTS, Workload

FAULTY, UNUSABLE, INTERRUPTED = 1, 2, 130


def main(words: Sequence[str] | None = None) -> int:
    """Run a load test or compare two; return the exit status."""
    words = sys.argv[1:] if words is None else words
    try:
        return compare(words[1:]) if words[:1] == ["compare"] else run(words)
    except EvaluationError as error:
        print(f"error: {error}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        print("interrupted; the cells that were measured are written", file=sys.stderr)
        return INTERRUPTED


def run(words: Sequence[str]) -> int:
    """Run a load test."""
    whole = parser(__doc__ or "")
    arguments = whole.parse_args(words)
    check(whole, arguments)
    results = asyncio.run(measure(arguments))
    found = faults(results, [*arguments.fail_over, *arguments.fail_under])
    write_report(results, found, arguments.url, arguments.output)
    print(as_table(results), *(found or ["passed"]), f"report: {arguments.output / 'report.md'}", sep="\n")
    return FAULTY if found else 0


async def measure(arguments: Namespace) -> list[Result]:
    """Measure all cells, and write each down as soon as it is there."""
    source = random.Random(arguments.seed)
    images = supply(arguments, source)
    results: list[Result] = []
    async with Target(arguments.url, api_key(arguments)) as target:
        model = await target.model(arguments.model)
        workload = Workload(
            model=model,
            images=images,
            images_per_request=arguments.images_per_request,
            prompts=arguments.prompt or PROMPTS,
            max_tokens=arguments.max_tokens,
            fields=arguments.extra_body,
        )

        def keep(measurement: Measurement) -> None:
            results.append(result_of(measurement, model, dict(arguments.slo)))
            write_result(results[-1], measurement.cell.name, arguments.output)

        meter = Meter(target, workload, arguments.requests, arguments.warm_up, source)
        await measure_all(meter, cells(arguments), keep)
    return results


def supply(arguments: Namespace, source: random.Random) -> Iterator[str]:
    """The images to ask about."""
    if arguments.images:
        return given(arguments.images)
    images = generated(arguments.sizes, source)
    return repeated(images, arguments.distinct_images) if arguments.distinct_images else images


def compare(words: Sequence[str]) -> int:
    """Compare two runs."""
    whole = ArgumentParser("python -m loadtest compare", description="Compare two runs, the later one second.")
    whole.add_argument("runs", type=Path, nargs=2, help="folders of load tests, or files of `vllm bench serve`")
    whole.add_argument("--output", type=Path, help="file to write the report to as well")
    whole.add_argument(
        "--fail-slower", type=not_negative, metavar="PERCENT", help="fail if a figure is worse by more than this"
    )
    arguments = whole.parse_args(words)
    first, second = (read_results(path) for path in arguments.runs)
    found = changes(first, second)
    if not found:
        raise EvaluationError(f"{arguments.runs[0]} and {arguments.runs[1]} have no cell in common")
    text = as_markdown(found, (str(arguments.runs[0]), str(arguments.runs[1])))
    print(text)
    if arguments.output:
        write_text(arguments.output, text)
    slower = [
        f"{change.cell}: {change.figure} is worse by {change.slowdown:.1f} %"
        for change in found
        if arguments.fail_slower is not None and change.slowdown > arguments.fail_slower
    ]
    print(*(slower or ["passed"]), sep="\n")
    return FAULTY if slower else 0


if __name__ == "__main__":
    sys.exit(main())
