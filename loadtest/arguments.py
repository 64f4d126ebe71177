"""The command line of a load test."""

import json
import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from loadtest.cell import Arrival, Cell, closed_loop, poisson, ramp
from loadtest.gates import gate_over, gate_under
from loadtest.images import Size

CONCURRENCIES = (1, 8, 32)
LATENCIES = ("ttft", "tpot", "e2el")
"""What `vllm bench serve` lets an objective limit."""
PROMPTS = ("Describe the picture.", "What are the main colours?", "Is there any text, and what does it say?")


def parser(description: str) -> ArgumentParser:
    """All arguments."""
    whole = ArgumentParser("python -m loadtest", description=description, formatter_class=RawDescriptionHelpFormatter)
    whole.add_argument("--url", required=True, help="the server's, with or without /v1")
    whole.add_argument("--output", type=Path, required=True, help="folder for the results; it must hold no others")
    whole.add_argument("--model", help="name of the model (default: the first that the server lists)")
    whole.add_argument(
        "--metrics-url", action="append", default=[], help="a server behind a router at --url; may be repeated"
    )
    add_key(whole)
    _add_cells(whole)
    _add_workload(whole)
    _add_gates(whole)
    return whole


def add_key(whole: ArgumentParser) -> None:
    """The key of servers."""
    key = os.environ.get("OPENAI_API_KEY", "")
    whole.add_argument("--api-key", default=key, help="for the server (default: $OPENAI_API_KEY)")


def _add_cells(whole: ArgumentParser) -> None:
    group = whole.add_argument_group("what is measured", "Each ratio under each pattern of arrivals is one cell.")
    group.add_argument(
        "--ratios", type=ratios, default=(0.0,), help="e.g. 0,0.5,0.7,0.9; none sends no prune_ratio (default: 0)"
    )
    group.add_argument("--mixed", action="store_true", help="measure all ratios mixed as well")
    group.add_argument(
        "--concurrency",
        type=positives,
        help="closed loops with so many requests in flight (default: 1,8,32, or none where another pattern is named)",
    )
    group.add_argument("--rate", type=rates, default=(), help="Poisson arrivals of so many requests a second")
    group.add_argument(
        "--ramp", nargs=2, type=positive, metavar=("FROM", "TO"), help="Poisson arrivals between two rates"
    )
    group.add_argument("--requests", type=positive, default=64, help="in each cell (default: %(default)s)")
    group.add_argument("--warm-up", type=positive, default=1, help="before each cell, not counted (default: 1)")
    group.add_argument("--seed", type=int, help="of images and arrivals (default: another one each time)")


def _add_workload(whole: ArgumentParser) -> None:
    group = whole.add_argument_group("what is asked")
    group.add_argument("--images", type=Path, metavar="FOLDER", help="ask about these (default: generated ones)")
    group.add_argument("--sizes", type=sizes, default=((672, 672),), help="of generated images (default: 672x672)")
    group.add_argument(
        "--distinct-images", type=positive, help="generate so many, sent by turns (default: one for each request)"
    )
    group.add_argument("--images-per-request", type=natural, default=1, help="0 asks about text only (default: 1)")
    group.add_argument("--prompt", action="append", help=f"may be repeated (default: {len(PROMPTS)} by turns)")
    group.add_argument("--max-tokens", type=positive, default=16, help="of an answer (default: %(default)s)")
    group.add_argument(
        "--extra-body",
        type=json_object,
        default={},
        help="further fields of requests, e.g. '{\"ignore_eos\": true}' for answers of one length",
    )


def _add_gates(whole: ArgumentParser) -> None:
    group = whole.add_argument_group("what is expected", "Status 1: a request failed or a gate missed.")
    group.add_argument(
        "--slo",
        type=objective,
        action="append",
        default=[],
        metavar="LATENCY:MS",
        help=f"what goodput counts: {', '.join(LATENCIES)}, e.g. ttft:500; may be repeated",
    )
    examples = {"--fail-over": (gate_over, "p99_ttft_ms=2000"), "--fail-under": (gate_under, "request_goodput=1.5")}
    for option, (gate, example) in examples.items():
        text = f"in any cell, e.g. {example}; may be repeated"
        group.add_argument(option, type=gate, action="append", default=[], metavar="FIGURE=LIMIT", help=text)


def check(whole: ArgumentParser, arguments: Namespace) -> None:
    """End the program where arguments do not go together."""
    gates = [*arguments.fail_over, *arguments.fail_under]
    if not arguments.slo and any("goodput" in gate.figure for gate in gates):
        whole.error("a gate on goodput needs --slo")
    if list(arguments.output.glob("*.json")):
        whole.error(f"{arguments.output} has results of another run: name another folder")


def cells(arguments: Namespace) -> list[Cell]:
    """What the arguments ask to be measured."""
    each = [(ratio,) for ratio in arguments.ratios]
    mixed = [arguments.ratios] if arguments.mixed and len(arguments.ratios) > 1 else []
    return [Cell(chosen, arrival) for arrival in arrivals(arguments) for chosen in [*each, *mixed]]


def arrivals(arguments: Namespace) -> list[Arrival]:
    """The patterns, closed loops first."""
    others = arguments.rate or arguments.ramp
    loops = arguments.concurrency or (() if others else CONCURRENCIES)
    ramps = [ramp(*arguments.ramp)] if arguments.ramp else []
    return [*map(closed_loop, loops), *map(poisson, arguments.rate), *ramps]


def ratios(text: str) -> tuple[float | None, ...]:
    """Ratios separated by commas. Whether they are in range is for the server to say."""
    return tuple(None if word == "none" else float(word) for word in _words(text))


def positive(text: str) -> int:
    """A positive integer."""
    if int(text) < 1:
        raise ArgumentTypeError(f"{text} is not positive")
    return int(text)


def natural(text: str) -> int:
    """An integer that is not below zero."""
    if int(text) < 0:
        raise ArgumentTypeError(f"{text} is below 0")
    return int(text)


def positives(text: str) -> tuple[int, ...]:
    """Positive integers separated by commas."""
    return tuple(positive(word) for word in _words(text))


def rates(text: str) -> tuple[float, ...]:
    """Positive numbers separated by commas."""
    values = tuple(float(word) for word in _words(text))
    if not all(0 < value < float("inf") for value in values):
        raise ArgumentTypeError(f"{text}: a rate must be above 0")
    return values


def sizes(text: str) -> tuple[Size, ...]:
    """Sizes such as 640x480, separated by commas."""
    pairs = [word.split("x") for word in _words(text)]
    return tuple((positive(width), positive(height)) for width, height in pairs)


def json_object(text: str) -> dict[str, Any]:
    """A JSON object."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ArgumentTypeError(f"{text} is no JSON object")
    return value


def objective(text: str) -> tuple[str, float]:
    """An objective such as ttft:500."""
    name, _, milliseconds = text.partition(":")
    if name not in LATENCIES:
        raise ArgumentTypeError(f"{name} is not one of {', '.join(LATENCIES)}")
    return name, float(milliseconds)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]
