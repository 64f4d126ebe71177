"""Many pictures at once: requests per second of engines, with pruning and without."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from evaluation.markdown import table
from loadtest.benchmarks.efficiency import OURS, STOCK
from loadtest.benchmarks.engine import QUESTION_LENGTH, Engine, Question
from loadtest.benchmarks.report import percent, write_report
from loadtest.benchmarks.shapes import Shape
from loadtest.benchmarks.timing import Times, measure

OUTPUT = 32
"""Tokens of an answer."""
MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class Asked:
    """Questions asked at once.

    Attributes:
        name: `stock`, or a ratio, or `mixed` ratios.
        concurrency: how many questions.
    """

    name: str
    concurrency: int


def measure_sweep(
    stock: Engine, ours: Engine, shape: Shape, ratios: Sequence[float], concurrency: Sequence[int], rounds: int
) -> dict[Asked, Times]:
    """How long it takes to answer all of some questions asked at once, each about a picture of its own."""
    seeds = count(1_000_000)

    def ask(engine: Engine, mixture: Sequence[float], level: int) -> Callable[[], float]:
        def seconds() -> float:
            return engine.seconds(
                *(
                    Question(QUESTION_LENGTH, shape.picture, mixture[place % len(mixture)], next(seeds), OUTPUT)
                    for place in range(level)
                )
            )

        return seconds

    found: dict[Asked, Times] = {}
    for level in concurrency:
        works = {Asked(STOCK, level): ask(stock, [0.0], level), Asked(MIXED, level): ask(ours, ratios, level)}
        works |= {Asked(f"{OURS} {percent(ratio, 0)}", level): ask(ours, [ratio], level) for ratio in ratios}
        found |= measure(works, rounds)
    return found


def report(found: Mapping[Asked, Times], folder: Path, command: str) -> None:
    """Write sweep.json, sweep.md and sweep.png."""
    names = list(dict.fromkeys(asked.name for asked in found))
    levels = list(dict.fromkeys(asked.concurrency for asked in found))
    rows = [
        [name, *(f"{rate(found, name, level):.2f} ({gain(found, name, level):.2f} x)" for level in levels)]
        for name in names
    ]
    content: dict[str, Any] = {
        "output_tokens": OUTPUT,
        "cells": [
            {
                "name": asked.name,
                "concurrency": asked.concurrency,
                "requests_per_second": rate(found, asked.name, asked.concurrency),
                "gain": gain(found, asked.name, asked.concurrency),
                "times": times.as_json(),
            }
            for asked, times in found.items()
        ],
    }
    rounds = len(next(iter(found.values())).seconds)
    body = [
        f"Requests per second, in the median of {rounds} rounds, and how many times stock vLLM's at the same "
        "concurrency. All of a round's questions are asked at once, each about a picture of its own, and answered with "
        f"{OUTPUT} tokens.",
        table(["", *(f"{level} at once" for level in levels)], rows),
        "![Requests per second against concurrency](sweep.png)",
    ]
    write_report(folder, "sweep", "Many pictures at once", command, content, body)
    draw(found, names, levels, folder / "sweep.png")


def rate(found: Mapping[Asked, Times], name: str, level: int) -> float:
    """Requests per second."""
    return level / found[Asked(name, level)].median


def gain(found: Mapping[Asked, Times], name: str, level: int) -> float:
    """How many times stock vLLM's rate that is."""
    return rate(found, name, level) / rate(found, STOCK, level)


def draw(found: Mapping[Asked, Times], names: Sequence[str], levels: Sequence[int], file: Path) -> None:
    """A line for each ratio."""
    from evaluation.figures.canvas import save, subplots

    figure, (axes,) = subplots(1, width=6)
    for name in names:
        axes.plot(
            levels,
            [rate(found, name, level) for level in levels],
            marker="o",
            label=name,
            color="black" if name == STOCK else None,
        )
    axes.set(xlabel="questions at once", ylabel="requests per second", ylim=(0, None))
    axes.legend()
    save(figure, file)
