"""One measurement of a load test: pruning ratios under a pattern of arrivals."""

import math
from dataclasses import dataclass

Ratios = tuple[float | None, ...]
"""What requests ask for; None is for no ratio at all. More than one are mixed."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """How requests arrive: at most `concurrency` at once, or a Poisson process of `rate` a second; and its name."""

    name: str
    concurrency: int | None = None
    rate: float = math.inf


def closed_loop(concurrency: int) -> Arrival:
    """So many clients, each of which sends when its last request is answered."""
    return Arrival(f"concurrency-{concurrency}", concurrency=concurrency)


def poisson(rate: float) -> Arrival:
    """Independent clients, `rate` requests a second on average."""
    return Arrival(f"rate-{rate:g}", rate=rate)


@dataclass(frozen=True, slots=True)
class Cell:
    """Ratios, and how requests arrive."""

    ratios: Ratios
    arrival: Arrival

    @property
    def prune_ratio(self) -> float | str | None:
        """The ratio, or that several were mixed."""
        return self.ratios[0] if len(self.ratios) == 1 else "mixed"

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"ratio-{ratio_name(self.prune_ratio)}_{self.arrival.name}"


def ratio_name(ratio: float | str | None) -> str:
    """A ratio in words."""
    return "none" if ratio is None else ratio if isinstance(ratio, str) else f"{ratio:g}"
