"""How long things take: rounds in which each is done once, so that whatever slows the machine slows all of them."""

import random
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch.utils.benchmark import Timer
from torch.utils.benchmark.utils.timer import timer
from tqdm import tqdm

from loadtest.arguments import positive

Name = TypeVar("Name")

BLOCK = 0.02
"""Seconds in which a round repeats what takes less, so that the clock's own time does not count."""


def add_measurement(parser: ArgumentParser, rounds: int, devices: bool = True) -> None:
    """Add how often it is measured, and on which device: by default a GPU, where there is one."""
    parser.add_argument(
        "--rounds", type=positive, default=rounds, help="in which all is measured (default: %(default)s)"
    )
    if devices:
        found = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
        parser.add_argument("--device", choices=found, default=found[-1], help="default: %(default)s")


def in_rounds(works: Mapping[Name, Callable[[], float]], rounds: int) -> dict[Name, list[float]]:
    """Do all works once to warm up, and then once in each round, in an order of its own.

    Args:
        works: each does something and tells the seconds it took.

    Returns:
        The seconds of each, round by round.
    """
    order, source = list(works), random.Random(0)
    for work in works.values():
        work()
    seconds: dict[Name, list[float]] = {name: [] for name in works}
    for _ in tqdm(range(rounds), unit="round"):
        source.shuffle(order)
        for name in order:
            seconds[name].append(works[name]())
    return seconds


def repeated(work: Callable[[], object]) -> Callable[[], float]:
    """Make what tells the seconds of one call, repeated for `BLOCK`. The device is idle before and after."""
    clock = Timer("work()", globals={"work": work}, num_threads=torch.get_num_threads())
    return lambda: float(clock.blocked_autorange(min_run_time=BLOCK).median)


def once(work: Callable[[], object]) -> float:
    """Time a single call, of what takes seconds. The device is idle before and after."""
    began = timer()
    work()
    return timer() - began
