"""What our HTTP route costs beside vLLM's own: short requests, sent in turn to two servers that both run.

The model is small and answers with one token, so that the route is a large part of what is measured.
"""

import random
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import count
from operator import truediv
from pathlib import Path
from typing import Any

import httpx

from evaluation.arguments import add_model, positive
from evaluation.failure import EvaluationError
from evaluation.markdown import table
from evaluation.service import NO_CACHES, authorization
from loadtest.benchmarks.efficiency import Estimate, estimate
from loadtest.benchmarks.report import add_output, command_line, percent, write_report
from loadtest.benchmarks.timing import Times, measure, on_host
from loadtest.images import draw
from loadtest.serving.servers import OURS, STOCK, serving

NAME = "benchmarked"
ARGUMENTS = ("--served-model-name", NAME, *NO_CACHES, "--max-num-seqs", "8")
KINDS = ("text", "picture", "picture, prune_ratio 0")
PICTURE = (224, 224)
TIMEOUT = 120


def add_arguments(parser: ArgumentParser) -> None:
    add_output(parser)
    add_model(parser)
    parser.add_argument(
        "--rounds", type=positive, default=400, help="with a request of each kind to each server (default: %(default)s)"
    )


def run(arguments: Namespace) -> None:
    folder = arguments.output
    with (
        serving(STOCK, arguments.model, ARGUMENTS, folder) as stock,
        serving(OURS, arguments.model, ARGUMENTS, folder) as ours,
    ):
        times = measure_requests({"stock": stock, "ours": ours}, NAME, arguments.rounds)
    report(times, folder, command_line("loadtest.benchmarks", arguments.words))


def measure_requests(urls: Mapping[str, str], model: str, rounds: int) -> dict[str, dict[str, Times]]:
    """How long requests take until they are answered: by kind, and for each by server."""
    seeds = count()
    with httpx.Client(timeout=TIMEOUT, headers=authorization()) as client:

        def ask(url: str, kind: str) -> Callable[[], float]:
            return lambda: answered(client, url, body(model, kind, random.Random(next(seeds))))

        works = {
            (kind, server): ask(url, kind)
            for kind in KINDS
            for server, url in urls.items()
            if not (server == "stock" and kind == KINDS[2])
        }
        times = measure(works, rounds)
    stock = {KINDS[0]: KINDS[0], KINDS[1]: KINDS[1], KINDS[2]: KINDS[1]}
    return {kind: {"stock": times[stock[kind], "stock"], "ours": times[kind, "ours"]} for kind in KINDS}


def body(model: str, kind: str, source: random.Random) -> dict[str, Any]:
    """A request that is like no other; stock vLLM knows no ratio."""
    content: list[dict[str, Any]] = [{"type": "text", "text": f"What is {source.getrandbits(64)}?"}]
    if kind != "text":
        content.insert(0, {"type": "image_url", "image_url": {"url": draw(PICTURE, source)}})
    ratio = {"prune_ratio": 0} if kind == KINDS[2] else {}
    return {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 1,
        "temperature": 0,
        **ratio,
    }


def answered(client: httpx.Client, url: str, request: dict[str, Any]) -> float:
    """Seconds until a request is answered.

    Raises:
        EvaluationError: it is refused.
    """
    responses: list[httpx.Response] = []
    seconds = on_host(lambda: responses.append(client.post(f"{url}/v1/chat/completions", json=request)))
    if responses[0].status_code != httpx.codes.OK:
        raise EvaluationError(f"{url} answered {responses[0].status_code}: {responses[0].text[:1000]}")
    return seconds


def report(times: Mapping[str, Mapping[str, Times]], folder: Path, command: str) -> None:
    """Write overhead.json, overhead.md and overhead.png."""
    ratios = {kind: estimate(truediv, both["ours"], both["stock"]) for kind, both in times.items()}
    rows = [
        [kind, str(both["stock"]), str(both["ours"]), f"{percent(ratios[kind].value - 1)}", shown(ratios[kind])]
        for kind, both in times.items()
    ]
    content = {
        kind: {**{server: each.as_json() for server, each in both.items()}, "ratio": asdict(ratios[kind])}
        for kind, both in times.items()
    }
    rounds = len(next(iter(times.values()))["stock"].seconds)
    body = [
        f"Medians of {rounds} requests that are answered with one token, and quartiles. They were sent one at a time, "
        "in a random order, to two servers that run beside each other: stock vLLM's, and ours, which prunes nothing. "
        "Every picture is new.",
        table(["request", "stock", "ours", "longer by", "95 % confidence"], rows),
        "![Times of both servers](overhead.png)",
    ]
    write_report(folder, "overhead", "Overhead of the server", command, {"requests": content}, body)
    draw_times(times, folder / "overhead.png")


def shown(ratio: Estimate) -> str:
    """An interval of what is longer."""
    return f"{percent(ratio.low - 1)} to {percent(ratio.high - 1)}"


def draw_times(times: Mapping[str, Mapping[str, Times]], file: Path) -> None:
    """Which share of the requests took how long."""
    from evaluation.figures.canvas import save, subplots

    figure, all_axes = subplots(len(times), width=4.2, heights=[3.5])
    for axes, (kind, both) in zip(all_axes, times.items(), strict=True):
        for server, colour in (("stock", "black"), ("ours", "#d62728")):
            axes.ecdf([1000 * seconds for seconds in both[server].seconds], color=colour, label=server)
        axes.set(title=kind, xlabel="time to the answer (ms)")
        axes.grid(alpha=0.3)
    all_axes[0].set_ylabel("share of the requests")
    all_axes[0].legend()
    save(figure, file)
