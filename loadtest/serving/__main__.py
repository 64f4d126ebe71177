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

from loadtest.arguments import add_key, add_servers, listed, positive, rate
from loadtest.cell import closed_loop, poisson
from loadtest.driver import Driver
from loadtest.failure import status_of
from loadtest.images import generated
from loadtest.reporting import command_line
from loadtest.servers import OURS, STOCK, serving
from loadtest.serving.checkpoint import DESCRIPTION, served
from loadtest.serving.report import capacity, report
from loadtest.serving.rounds import measure_rounds, variants
from loadtest.serving.summary import summarise
from loadtest.target import reach
from loadtest.workload import Workload


def main(words: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit status."""
    words = sys.argv[1:] if words is None else words
    whole = parser()
    arguments = whole.parse_args(words)
    if bool(arguments.stock_url) != bool(arguments.gprune_url):
        whole.error("--stock-url and --gprune-url go together")
    return status_of(lambda: run(arguments, command_line("loadtest.serving", words)))


def parser() -> ArgumentParser:
    """The command line."""
    whole = ArgumentParser(
        "python -m loadtest.serving", description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    add_servers(whole, 16)
    add_key(whole)
    add, integers = whole.add_argument, listed(positive)
    add("--stock-url", help="a stock vLLM that runs already")
    add("--gprune-url", help="a gprune-serve that runs already, with the same model and key")
    add("--ratios", type=listed(float), default=(0.0, 0.5, 0.7, 0.9), help="(default: 0,0.5,0.7,0.9, and all mixed)")
    add("--concurrency", type=integers, default=(1, 4, 8, 16, 32), help="(default: 1,4,8,16,32)")
    add("--rates", type=listed(rate), default=(), help="Poisson arrivals of so many requests a second")
    add("--requests", type=positive, default=8, help="in a measurement, or as many as are in flight (default: 8)")
    add("--rounds", type=positive, default=3, help="(default: %(default)s)")
    return whole


def run(arguments: Namespace, command: str) -> bool:
    """Measure the servers that were named, or both for the time of it.

    Raises:
        LoadTestError: a server does not start, or a request fails.
    """
    with ExitStack() as stack:
        urls = {STOCK: arguments.stock_url, OURS: arguments.gprune_url}
        if not arguments.stock_url:
            model, *flags = served(arguments.model, arguments.output / "checkpoint")
            flags += shlex.split(arguments.server_arguments)
            urls = {name: stack.enter_context(serving(name, model, flags, arguments.output)) for name in urls}
        print(asyncio.run(measure(urls, arguments, command)), f"report: {arguments.output / 'serving.md'}", sep="\n")
    return True


async def measure(urls: Mapping[str, str], arguments: Namespace, command: str) -> str:
    """Measure the servers at these URLs; return the report."""
    source, fields = random.Random(arguments.seed), {"ignore_eos": True}
    workload = Workload(generated(arguments.size, source), arguments.max_tokens)
    targets = {name: reach(url, arguments.api_key) for name, url in urls.items()}
    drivers = {name: Driver(each, workload, arguments.requests, source, fields) for name, each in targets.items()}
    arrivals = [*map(closed_loop, arguments.concurrency), *map(poisson, arguments.rates)]
    rows = summarise(await measure_rounds(drivers, variants(arguments.ratios), arrivals, arguments.rounds))
    capacities = {name: await capacity(target) for name, target in targets.items()}
    size, answer = "{} x {}".format(*arguments.size), arguments.max_tokens
    model = DESCRIPTION if not arguments.model and not arguments.stock_url else targets[OURS].model
    about = (
        f"{Path(model).name}, unique images of {size}, answers of {answer} tokens, {arguments.rounds} rounds of "
        f"{arguments.requests} requests or as many as are in flight."
    )
    return report(arguments.output, command, about, rows, capacities, answer)


if __name__ == "__main__":
    sys.exit(main())
