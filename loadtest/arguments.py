"""The command line of a load test."""

import json
import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from loadtest.cell import Cell, closed_loop, poisson
from loadtest.gates import gate

Value = TypeVar("Value")
LATENCIES = ("ttft", "tpot", "e2el")
"""What `vllm bench serve` lets an objective limit."""


def parser(description: str) -> ArgumentParser:
    """All arguments."""
    whole = ArgumentParser("python -m loadtest", description=description, formatter_class=RawDescriptionHelpFormatter)
    add = whole.add_argument
    add("--url", required=True, help="the server's, with or without /v1")
    add("--output", type=Path, required=True, help="folder for the results; it must hold no others")
    add("--model", help="name of the model (default: the first that the server lists)")
    add("--metrics-url", action="append", help="a server behind a router at --url; may be repeated")
    add_key(whole)
    add = whole.add_argument_group("what is measured", "Each ratio under each pattern is one cell.").add_argument
    add("--ratios", type=listed(ratio), default=(0.0,), help="e.g. 0,0.7; none sends no prune_ratio (default: 0)")
    add("--mixed", action="store_true", help="measure all ratios mixed as well")
    add("--concurrency", type=listed(positive), help="closed loops (default: 1,8,32, or none beside --rate)")
    add("--rate", type=listed(rate), default=(), help="Poisson arrivals of so many requests a second")
    add("--requests", type=positive, default=64, help="in each cell (default: %(default)s)")
    add_images(whole, 16)
    add("--extra-body", type=json.loads, default={}, help="""further fields, e.g. '{"ignore_eos": true}'""")
    add = whole.add_argument_group(
        "what is expected", "Otherwise the exit status is 1. Each may be repeated."
    ).add_argument
    many: dict[str, Any] = {"action": "append", "default": []}
    add("--slo", type=objective, metavar="LATENCY:MS", help=f"for goodput, of {', '.join(LATENCIES)}", **many)
    add("--fail-over", type=partial(gate, "over"), metavar="FIGURE=LIMIT", help="e.g. p99_ttft_ms=2000", **many)
    add("--fail-under", type=partial(gate, "under"), metavar="FIGURE=LIMIT", help="e.g. goodput_share=0.9", **many)
    return whole


def add_key(whole: ArgumentParser) -> None:
    """The key of servers."""
    key = os.environ.get("OPENAI_API_KEY", "")
    whole.add_argument("--api-key", default=key, help="for the server (default: $OPENAI_API_KEY)")


def add_servers(whole: ArgumentParser, max_tokens: int) -> None:
    """What a benchmark starts and asks."""
    whole.add_argument("--output", type=Path, required=True, help="folder for the report, the model and the logs")
    whole.add_argument("--model", help="a LLaVA-NeXT checkpoint (default: one with random weights, on a CPU's scale)")
    whole.add_argument("--server-arguments", default="", help="further arguments of both servers")
    add_images(whole, max_tokens, seed=0)


def add_images(whole: ArgumentParser, max_tokens: int, seed: int | None = None) -> None:
    """What is asked."""
    whole.add_argument("--size", type=size, default=(672, 672), help="of images (default: 672x672)")
    whole.add_argument("--max-tokens", type=positive, default=max_tokens, help="of an answer (default: %(default)s)")
    whole.add_argument("--seed", type=int, default=seed, help="of images and arrivals (default: %(default)s)")


def check(whole: ArgumentParser, arguments: Namespace) -> None:
    """End the program where arguments do not go together."""
    gates = [*arguments.fail_over, *arguments.fail_under]
    if not arguments.slo and any("goodput" in gate.figure for gate in gates):
        whole.error("a gate on goodput needs --slo")
    if list(arguments.output.glob("*.json")):
        whole.error(f"{arguments.output} has results of another run: name another folder")


def cells(arguments: Namespace) -> list[Cell]:
    """What the arguments ask to be measured, closed loops first."""
    loops = arguments.concurrency or (() if arguments.rate else (1, 8, 32))
    arrivals = [*map(closed_loop, loops), *map(poisson, arguments.rate)]
    each = [(ratio,) for ratio in arguments.ratios]
    mixed = [arguments.ratios] if arguments.mixed and len(arguments.ratios) > 1 else []
    return [Cell(chosen, arrival) for arrival in arrivals for chosen in [*each, *mixed]]


def listed(convert: Callable[[str], Value]) -> Callable[[str], tuple[Value, ...]]:
    """What reads values separated by commas."""
    return lambda text: tuple(convert(word.strip()) for word in text.split(","))


def ratio(text: str) -> float | None:
    """A ratio, or none. Whether it is in range is for the server to say."""
    return None if text == "none" else float(text)


def positive(text: str) -> int:
    """A positive integer."""
    if int(text) < 1:
        raise ArgumentTypeError(f"{text} is not positive")
    return int(text)


def rate(text: str) -> float:
    """A positive number."""
    if not 0 < float(text) < float("inf"):
        raise ArgumentTypeError(f"{text}: a rate must be above 0")
    return float(text)


def size(text: str) -> tuple[int, int]:
    """Width and height in pixels, such as 640x480."""
    width, height = text.split("x")
    return positive(width), positive(height)


def objective(text: str) -> tuple[str, float]:
    """An objective such as ttft:500."""
    name, _, milliseconds = text.partition(":")
    if name not in LATENCIES:
        raise ArgumentTypeError(f"{name} is not one of {', '.join(LATENCIES)}")
    return name, float(milliseconds)
