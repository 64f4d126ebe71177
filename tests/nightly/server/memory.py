"""What the processes of a server hold in memory, sampled over time."""

from contextlib import suppress
from statistics import median

import psutil

MEGABYTE = 10**6
GROWTH_SHARE, GROWTH_MEGABYTES = 0.02, 20
"""By how much a process may grow from the second quarter to the last: this share of what it had, and so many MB."""


class Memory:
    """Watches a process and all that it starts.

    Attributes:
        curves: resident memory in MB by process, a value for each look at it.
        looks: how often they were looked at.
    """

    def __init__(self, main: psutil.Process) -> None:
        self._main = main
        self.curves: dict[str, list[float]] = {}
        self.looks = 0

    def sample(self) -> None:
        """Look at every process now."""
        self.looks += 1
        for process in (self._main, *self._main.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                held = process.memory_info().rss / MEGABYTE
                self.curves.setdefault(f"{process.name()} {process.pid}", []).append(round(held, 1))

    def faults(self) -> list[str]:
        """Which processes ended, came, or grew."""
        changed = [name for name, curve in self.curves.items() if len(curve) < self.looks]
        grown = [name for name, curve in self.curves.items() if not is_flat(curve)]
        return [f"{name} was not there all the time" for name in changed] + [f"{name} grew" for name in grown]

    def report(self) -> str:
        """The medians of all quarters, a line for each process."""
        return "\n".join(f"{name}: {quarters(curve)} MB" for name, curve in self.curves.items())


def quarters(curve: list[float]) -> list[int]:
    """The median of each quarter of a curve."""
    length = len(curve)
    return [round(median(curve[length * part // 4 : length * (part + 1) // 4] or curve)) for part in range(4)]


def is_flat(curve: list[float]) -> bool:
    """Whether a process did not grow. The first quarter is left for caches to fill."""
    _, second, _, last = quarters(curve)
    return last - second <= GROWTH_SHARE * second + GROWTH_MEGABYTES
