"""How pressure on the engine becomes a pruning ratio: up at once, down slowly. Knows neither clock nor engine."""

from dataclasses import dataclass
from math import floor

LEVELS = 4
"""Levels above the lowest. Few, since caches hit only among requests of one ratio."""
HOLD = 5.0
"""Seconds for which the pressure has to be low before the ratio falls by a level."""
MARGIN = 0.5
"""How low: this far below the pressure that raised the ratio to its level, in levels."""


@dataclass(frozen=True, slots=True)
class State:
    """Where the ratio stands.

    Attributes:
        level: from 0, the smallest ratio, to `LEVELS`, the largest.
        calm_since: since when the pressure has been low enough to leave the level downwards; None if it is not.
    """

    level: int = 0
    calm_since: float | None = None


@dataclass(frozen=True, slots=True)
class Controller:
    """Chooses among `LEVELS` + 1 evenly spaced ratios.

    Pressure 0 means that nothing waits, and 1 asks for the largest ratio; each level has its even share in between.

    Attributes:
        minimum: the smallest ratio.
        maximum: the largest one.
    """

    minimum: float
    maximum: float

    def advance(self, state: State, pressure: float, now: float) -> State:
        """The state after `state`, under this pressure at this time, in seconds of any clock that does not run back."""
        levels = min(max(0.0, pressure), 1.0) * LEVELS
        if floor(levels) > state.level:
            return State(floor(levels))
        if state.level == 0 or levels > state.level - MARGIN:
            return State(state.level)
        since = now if state.calm_since is None else state.calm_since
        return State(state.level, since) if now - since < HOLD else State(state.level - 1, now)

    def ratio(self, state: State) -> float:
        """The ratio of a state."""
        ratio = round(self.minimum + state.level / LEVELS * (self.maximum - self.minimum), 6)
        return min(self.maximum, max(self.minimum, ratio))
