"""The largest ratio that measured agreement allows."""

import time
from collections import deque
from collections.abc import Callable
from math import isclose, sqrt
from statistics import fmean, stdev

from gprune_server.shadow.verdict import Verdict
from gprune_vllm.account import VisualTokenAccount
from gprune_vllm.settings import PruneSettings

LEVELS = 4
"""Number of levels above ratio 0. Few, because only requests with the same ratio share cache entries."""
FEWEST, MOST = 30, 200
"""Number of verdicts that a decision needs, and of the latest ones that it uses."""
ERRORS = 3.0
"""Standard errors by which the mean must differ from the least agreement. Verdicts are looked at again and again."""
HOLD, LONGEST_HOLD = 600.0, 14_400.0
"""Seconds until a lowered ratio may rise by a level: at first, and at most, as it doubles when a rise was a mistake."""


class Ceiling:
    """Falls by a level when agreement at it is too low, and rises again by a level when it is high enough.

    Only verdicts on answers at just this ratio count, of requests that left ratio and method to the server.

    Args:
        least: agreement that answers must have on average, in (0, 1].
        largest: ratio of the highest level.
        method: the server's default method.
        expose: called with each ratio.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        least: float,
        largest: float,
        method: str,
        expose: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._least, self._largest, self._method, self._expose, self._clock = least, largest, method, expose, clock
        self._agreements: deque[float] = deque(maxlen=MOST)
        self._hold, self._on_trial = HOLD, False
        self._move_to(LEVELS)

    def limit(self) -> float:
        """Return the largest ratio that agreement allows now, which is any ratio at the highest level."""
        return self.ratio() if self._level < LEVELS else 1.0

    def follow(self, settings: PruneSettings) -> None:
        """Have the levels follow new settings. Verdicts on other ratios and methods count no longer."""
        chosen = settings.largest_default, settings.prune_method
        if chosen != (self._largest, self._method):
            self._largest, self._method = chosen
            self._agreements.clear()
            self._expose(self.ratio())

    def ratio(self) -> float:
        """Return the ratio of the level."""
        return round(self._level / LEVELS * self._largest, 6) if self._level < LEVELS else self._largest

    def observe(self, account: VisualTokenAccount, verdict: Verdict) -> None:
        """Take a verdict into account."""
        chosen = account.source in ("default", "adaptive") and account.method == self._method
        if not chosen or not isclose(account.ratio, self.ratio()):
            return
        self._agreements.append(verdict.agreement)
        if len(self._agreements) >= FEWEST:
            self._decide()

    def _decide(self) -> None:
        mean = fmean(self._agreements)
        error = ERRORS * stdev(self._agreements) / sqrt(len(self._agreements))
        if mean + error < self._least and self._level > 0:
            self._hold = min(2 * self._hold, LONGEST_HOLD) if self._on_trial else self._hold
            self._on_trial = False
            self._move_to(self._level - 1)
        elif mean - error >= self._least:
            self._hold = HOLD if self._on_trial else self._hold
            self._on_trial = False
            self._rise()

    def _rise(self) -> None:
        if self._level < LEVELS and self._clock() - self._since >= self._hold:
            self._on_trial = True
            self._move_to(self._level + 1)

    def _move_to(self, level: int) -> None:
        self._level, self._since = level, self._clock()
        self._agreements.clear()
        self._expose(self.ratio())
