"""One cell of a table: which tokens to prune, and how many."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

DOWNSAMPLE = "downsample"
"""Name of the method that prunes nothing, and sends a smaller picture."""
UNPRUNED = "none"
"""Name of the method at ratio 0, where there is nothing to select and all methods are one."""
METHODS = ("random", "grid", "l2norm", "gprune", "gprune-nms", "gprune-blend", "tome", "divprune", "visionzip", "scope")
"""The methods that a server offers, in the order of the tables."""
RATIOS = (0.5, 0.7, 0.9)
"""The paper's pruning ratios."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A pruning method at a ratio."""

    method: str
    ratio: float

    @property
    def fields(self) -> dict[str, Any]:
        """What a request says of pruning."""
        if self.method in (UNPRUNED, DOWNSAMPLE):
            return {"prune_ratio": 0.0}
        return {"prune_ratio": self.ratio, "prune_method": self.method}

    def __str__(self) -> str:
        return f"{self.method} {self.ratio:.0%}"


def cells_of(methods: Iterable[str] = METHODS, ratios: Iterable[float] = RATIOS) -> list[Cell]:
    """Every method at every ratio; ratio 0 once and first, whether named or not."""
    pruned = [ratio for ratio in ratios if ratio]
    return [Cell(UNPRUNED, 0.0), *(Cell(method, ratio) for method in methods for ratio in pruned)]
