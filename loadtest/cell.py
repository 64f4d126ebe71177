"""One measurement of a load test: pruning ratios under a pattern of arrivals."""

from dataclasses import dataclass

from loadtest.arrival import Arrival

Ratios = tuple[float | None, ...]
"""What requests ask for; None is for no ratio at all. More than one are mixed."""


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
        """What its file is called."""
        return f"ratio-{ratio_name(self.prune_ratio)}_{self.arrival.name}"


def ratio_name(ratio: float | str | None) -> str:
    """A ratio in words."""
    return "none" if ratio is None else ratio if isinstance(ratio, str) else f"{ratio:g}"
