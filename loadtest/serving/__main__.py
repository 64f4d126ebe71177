"""Measure serving at each pruning ratio against stock vLLM: requests a second, latencies, and use of the KV cache.

Both servers run side by side on the same checkpoint, and are asked in turns: round by round, every variant under every
pattern of arrivals, with images that no cache knows. On a GPU give both room: --server-arguments
'--gpu-memory-utilization 0.45'. Servers that run already are measured by --stock-url and --gprune-url.
"""

import asyncio
import random
import shlex
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from loadtest.arguments import add_key, positive, positives, rates, sizes
from loadtest.cell import closed_loop, poisson
from loadtest.driver import Driver
from loadtest.failure import LoadTestError
from loadtest.images import generated
from loadtest.reporting import command_line
from loadtest.servers import OURS, STOCK, serving
from loadtest.serving.cache import Capacity, capacity
from loadtest.serving.checkpoint import DESCRIPTION, write_checkpoint
from loadtest.serving.report import Report
from loadtest.serving.rounds import Benchmark, Taken, variants
from loadtest.serving.summary import summarise
from loadtest.target import reach
from loadtest.workload import Workload

RATIOS = (0.0, 0.5, 0.7, 0.9)
CONCURRENCIES = (1, 4, 8, 16, 32)
UNUSABLE = 2


def main(words: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit status."""
    words = sys.argv[1:] if words is None else words
    whole = parser()
    arguments = whole.parse_args(words)
    if bool(arguments.stock_url) != bool(arguments.gprune_url):
        whole.error("--stock-url and --gprune-url go together")
    try:
        taken, capacities = run(arguments)
    except LoadTestError as error:
        print(f"error: {error}", file=sys.stderr)
        return UNUSABLE
    command = command_line("loadtest.serving", words)
    report = Report(command, about(arguments), summarise(taken), capacities, arguments.max_tokens)
    print(report.write(arguments.output), f"report: {arguments.output / 'serving.md'}", sep="\n")
    return 0


def parser() -> ArgumentParser:
    """The command line."""
    whole = ArgumentParser(
        "python -m loadtest.serving", description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    whole.add_argument("--output", type=Path, required=True, help="folder for the report, the checkpoint and the logs")
    whole.add_argument("--model", help="a LLaVA-NeXT checkpoint (default: one with random weights, on a CPU's scale)")
    whole.add_argument("--stock-url", help="a stock vLLM that runs already")
    whole.add_argument("--gprune-url", help="a gprune-serve that runs already, with the same model and key")
    add_key(whole)
    whole.add_argument("--ratios", type=_ratios, default=RATIOS, help="(default: 0,0.5,0.7,0.9, and all mixed)")
    whole.add_argument("--concurrency", type=positives, default=CONCURRENCIES, help="(default: 1,4,8,16,32)")
    whole.add_argument("--rates", type=rates, default=(), help="Poisson arrivals of so many requests a second")
    whole.add_argument(
        "--requests", type=positive, default=8, help="in a measurement, or as many as are in flight (default: 8)"
    )
    whole.add_argument("--rounds", type=positive, default=3, help="(default: %(default)s)")
    whole.add_argument("--size", type=sizes, default=((672, 672),), help="of images (default: 672x672)")
    whole.add_argument("--max-tokens", type=positive, default=16, help="of an answer (default: %(default)s)")
    whole.add_argument("--server-arguments", default="", help="further arguments of both servers")
    whole.add_argument("--seed", type=int, default=0, help="of images (default: %(default)s)")
    return whole


def _ratios(text: str) -> tuple[float, ...]:
    return tuple(float(word) for word in text.split(","))


def run(arguments: Namespace) -> tuple[list[Taken], Mapping[str, Capacity]]:
    """Measure the servers that were named, or both for the time of it; return what was measured, and both capacities.

    Raises:
        LoadTestError: a server does not start, or a request fails.
    """
    if arguments.stock_url:
        return asyncio.run(measure({STOCK: arguments.stock_url, OURS: arguments.gprune_url}, arguments))
    model = arguments.model or str(write_checkpoint(arguments.output / "checkpoint"))
    flags = shlex.split(arguments.server_arguments)
    with ExitStack() as stack:
        urls = {name: stack.enter_context(serving(name, model, flags, arguments.output)) for name in (STOCK, OURS)}
        return asyncio.run(measure(urls, arguments))


async def measure(urls: Mapping[str, str], arguments: Namespace) -> tuple[list[Taken], Mapping[str, Capacity]]:
    """Measure the servers at these URLs."""
    source = random.Random(arguments.seed)
    workload = Workload(generated(arguments.size, source), max_tokens=arguments.max_tokens)
    targets = {name: reach(url, arguments.api_key) for name, url in urls.items()}
    benchmark = Benchmark(
        drivers={
            name: Driver(target, workload, arguments.requests, 1, source, {"ignore_eos": True})
            for name, target in targets.items()
        },
        variants=variants(arguments.ratios),
        arrivals=[*map(closed_loop, arguments.concurrency), *map(poisson, arguments.rates)],
        rounds=arguments.rounds,
    )
    taken = await benchmark.run()
    return taken, {name: await capacity(target.metrics_urls) for name, target in targets.items()}


def about(arguments: Namespace) -> str:
    """Tell in a sentence how it was measured."""
    width, height = arguments.size[0]
    model = Path(arguments.model).name if arguments.model else DESCRIPTION
    if arguments.stock_url:
        model = f"Servers at {arguments.gprune_url} and {arguments.stock_url} (stock)"
    return (
        f"{model}, unique images of {width} x {height}, answers of {arguments.max_tokens} tokens, {arguments.rounds} "
        f"rounds of {arguments.requests} requests or as many as are in flight, against stock vLLM in the same rounds."
    )


if __name__ == "__main__":
    sys.exit(main())
