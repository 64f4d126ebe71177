"""What our HTTP route costs beside vLLM's own: short requests, sent in turn to two servers that both run.

The model is small and answers with one token, so that the route is a large part of what is measured.
"""

import os
import random
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

from matplotlib.figure import Figure
from openai import OpenAI

from evaluation.demo import DEMO_MODEL
from loadtest import servers
from loadtest.benchmarks.timing import add_measurement, in_rounds, once
from loadtest.images import generated
from loadtest.reporting import as_json, durations, percents, plots, ratio, table, write_report
from loadtest.target import reach

ARGUMENTS = ("--no-enable-prefix-caching", "--mm-processor-cache-gb", "0", "--max-num-seqs", "8")
STOCK, OURS = "stock", "ours"
TEXT, PICTURE, RATIO_0 = "text", "picture", "picture, prune_ratio 0"
SIZE = (224, 224)


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this benchmark may be told."""
    add_measurement(parser, rounds=400, devices=False)
    parser.add_argument("--model", default=str(DEMO_MODEL), help="checkpoint to serve (default: the demo model)")
    parser.add_argument("--url", help="of a gprune-serve that runs; both servers are started otherwise")
    parser.add_argument("--stock-url", help="of a stock vLLM server that runs, on the same model")
    parser.add_argument("--api-key", default=os.environ.get("OPENAI_API_KEY", ""), help="of both")


def run(arguments: Namespace, command: str) -> str:
    """Measure, write overhead.json, overhead.md and overhead.png, and return the text."""
    with both(arguments) as (stock, ours):
        times = measure(stock, ours, arguments.api_key, arguments.rounds)
    found = {kind: compared(*pair) for kind, pair in times.items()}
    content, body = {"requests": found}, as_markdown(found)
    return write_report(arguments.output, "overhead", "Overhead of the server", command, content, body, draw(found))


@contextmanager
def both(arguments: Namespace) -> Iterator[tuple[str, str]]:
    """Give the URLs of stock vLLM and of ours, started where they are not named.

    Raises:
        LoadTestError: one does not start.
    """
    if arguments.url and arguments.stock_url:
        yield arguments.stock_url, arguments.url
        return
    started = (arguments.model, ARGUMENTS, arguments.output)
    with servers.serving(servers.STOCK, *started) as stock, servers.serving(servers.OURS, *started) as ours:
        yield stock, ours


def measure(stock: str, ours: str, key: str, rounds: int) -> dict[str, tuple[list[float], list[float]]]:
    """Time requests of each kind until they are answered, by stock vLLM and by ours, round by round.

    Raises:
        LoadTestError: a server cannot be reached.
        openai.APIError: a request is refused.
    """
    seeds = count()

    def ask(client: OpenAI, model: str, kind: str) -> Callable[[], float]:
        def seconds() -> float:
            body = request(model, kind, random.Random(next(seeds)))
            return once(lambda: client.chat.completions.with_raw_response.create(**body))

        return seconds

    targets = {STOCK: reach(stock, key), OURS: reach(ours, key)}
    with targets[STOCK].client() as stocks, targets[OURS].client() as own:
        works = {(STOCK, kind): ask(stocks, targets[STOCK].model, kind) for kind in (TEXT, PICTURE)}
        works |= {(OURS, kind): ask(own, targets[OURS].model, kind) for kind in (TEXT, PICTURE, RATIO_0)}
        times = in_rounds(works, rounds)
    same = {TEXT: TEXT, PICTURE: PICTURE, RATIO_0: PICTURE}  # stock vLLM knows no ratio
    return {kind: (times[STOCK, other], times[OURS, kind]) for kind, other in same.items()}


def request(model: str, kind: str, source: random.Random) -> dict[str, Any]:
    """Make the arguments of a request that is like no other."""
    content: list[dict[str, Any]] = [{"type": "text", "text": f"What is {source.getrandbits(64)}?"}]
    if kind != TEXT:
        content.insert(0, {"type": "image_url", "image_url": {"url": next(generated(SIZE, source))}})
    return {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 1,
        "temperature": 0,
        "extra_body": {"prune_ratio": 0} if kind == RATIO_0 else {},
    }


def compared(stock: Sequence[float], ours: Sequence[float]) -> dict[str, Any]:
    """Put the times of both servers beside their ratio."""
    return {STOCK: as_json(stock), OURS: as_json(ours), "ratio": ratio(ours, stock)}


def as_markdown(found: Mapping[str, Any]) -> list[str]:
    """Tell what there is to know at a glance."""
    longer = {kind: {bound: value - 1 for bound, value in each["ratio"].items()} for kind, each in found.items()}
    rows = [
        [kind, *(durations(each[name]["seconds"]) for name in (STOCK, OURS)), percents(longer[kind])]
        for kind, each in found.items()
    ]
    return [
        f"Medians of {len(found[TEXT][STOCK]['seconds'])} requests that are answered with one token, with quartiles, "
        "and by how much longer ours takes, with its 95 % confidence interval. They were sent one at a time, in a "
        "random order, to two servers that run beside each other: stock vLLM's, and ours, which prunes nothing. Every "
        "picture is new.",
        table(["request", STOCK, OURS, "longer by"], rows),
    ]


def draw(found: Mapping[str, Any]) -> Figure:
    """Draw which share of the requests took how long."""
    figure, all_axes = plots(len(found), width=4.2, height=3.5)
    for axes, (kind, each) in zip(all_axes, found.items(), strict=True):
        for name, colour in ((STOCK, "black"), (OURS, "#d62728")):
            axes.ecdf([1000 * seconds for seconds in each[name]["seconds"]], color=colour, label=name)
        axes.set(title=kind, xlabel="time to the answer (ms)", ylabel="share of the requests")
        axes.grid(alpha=0.3)
    all_axes[0].legend()
    return figure
