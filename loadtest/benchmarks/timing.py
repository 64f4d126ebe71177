"""How long things take: rounds in which each is done once, so that whatever slows the machine slows all of them."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles
from time import perf_counter
from typing import Any, TypeVar

Name = TypeVar("Name")

RESAMPLES = 2000
"""Of a bootstrap."""
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


@dataclass(frozen=True, slots=True)
class Times:
    """What something took, in seconds, round by round.

    Attributes:
        seconds: at least one.
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median, which one slow round does not move."""
        return median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Half of the rounds lie between these."""
        if len(self.seconds) == 1:
            return self.seconds[0], self.seconds[0]
        low, _, high = quantiles(self.seconds, n=4, method="inclusive")
        return low, high

    def as_json(self) -> dict[str, Any]:
        """Everything, for a file."""
        return {"median": self.median, "quartiles": self.quartiles, "seconds": self.seconds}

    def __str__(self) -> str:
        return f"{duration(self.median)} ({' to '.join(duration(value) for value in self.quartiles)})"


def duration(seconds: float) -> str:
    """A time in a unit in which one can read it."""
    size, unit = next((unit for unit in UNITS if abs(seconds) >= unit[0]), UNITS[-1])
    return f"{seconds / size:.3g} {unit}"


def measure(works: Mapping[Name, Callable[[], float]], rounds: int, seed: int = 0) -> dict[Name, Times]:
    """Do all works once to warm up, and then once in each round, in an order of its own.

    Args:
        works: each does something and tells the seconds it took.
    """
    order, source = list(works), random.Random(seed)
    for work in works.values():
        work()
    seconds: dict[Name, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        source.shuffle(order)
        for name in order:
            seconds[name].append(works[name]())
    return {name: Times(tuple(values)) for name, values in seconds.items()}


def joined(first: Mapping[str, Times], more: Mapping[str, Times]) -> dict[str, Times]:
    """All that was measured at two times."""
    names = dict.fromkeys((*first, *more))
    none = Times(())
    return {name: Times(first.get(name, none).seconds + more.get(name, none).seconds) for name in names}


def interval(statistic: Callable[..., float], *times: Times, seed: int = 0) -> tuple[float, float]:
    """A 95 % confidence interval of a statistic of medians: a bootstrap over rounds.

    Args:
        statistic: takes the median of each of the times, which have equally many rounds.
    """
    source, rounds = random.Random(seed), list(zip(*(each.seconds for each in times), strict=True))
    values = sorted(
        statistic(*map(median, zip(*source.choices(rounds, k=len(rounds)), strict=True))) for _ in range(RESAMPLES)
    )
    return values[int(0.025 * RESAMPLES)], values[int(0.975 * RESAMPLES) - 1]


def stopwatch(device: str) -> Callable[[Callable[[], object]], float]:
    """What times work on a device of this type: seconds until it is done."""
    return on_cuda if device == "cuda" else on_host


def on_host(work: Callable[[], object]) -> float:
    """Seconds of the host's clock."""
    began = perf_counter()
    work()
    return perf_counter() - began


def on_cuda(work: Callable[[], object]) -> float:
    """Seconds between two events of the device, of which the first is not recorded before it is idle."""
    import torch

    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    start.record()
    work()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1000
