"""Whether a soak passed, and if not, why."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from loadtest.soak.memory import Curve
from loadtest.soak.request import FAULTS, Ending

GROWTH_SHARE = 0.02
"""The share of its memory by which a process may grow from the second quarter of the soak to the last."""


@dataclass(frozen=True, slots=True)
class Growth:
    """How the memory of a process went on, in megabytes.

    Attributes:
        second: median of the soak's second quarter. The first is left for caches to fill.
        last: median of the last quarter.
        allowed: by how much the one may exceed the other.
    """

    process: str
    second: float
    last: float
    allowed: float

    @property
    def flat(self) -> bool:
        """Whether it stayed within the bound."""
        return self.last - self.second <= self.allowed


@dataclass(slots=True)
class Record:
    """What a soak saw.

    Attributes:
        seconds: how long it ran.
        endings: how many requests of a kind ended how.
        details: of the first requests that ended wrong.
        probes: how often the fixed request was answered.
        drifts: how its later answers differed from the first.
        left_behind: what the server was still busy with while nothing was asked.
        curves: memory of its processes.
        interrupted: whether it was ended before its time.
    """

    seconds: float = 0.0
    endings: Counter[tuple[str, Ending]] = field(default_factory=Counter)
    details: list[str] = field(default_factory=list)
    probes: int = 0
    drifts: list[str] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    interrupted: bool = False

    def totals(self) -> Counter[str]:
        """How many requests ended how."""
        totals: Counter[str] = Counter()
        for (_, ending), count in self.endings.items():
            totals[ending] += count
        return totals


def growths(curves: Sequence[Curve], seconds: float, allowed_megabytes: float) -> list[Growth]:
    """How the memory of each process went on that was there from the second quarter of the soak to its end."""
    found = []
    for curve in curves:
        second = _between(curve, seconds / 4, seconds / 2)
        last = _between(curve, seconds * 3 / 4, float("inf"))
        if second and last:
            before = median(second)
            allowed = GROWTH_SHARE * before + allowed_megabytes
            found.append(Growth(curve.process, before, median(last), round(allowed, 1)))
    return found


def _stayed(curve: Curve, seconds: float) -> bool:
    """Whether a process was there for so long: some live for a moment only."""
    return bool(curve.seconds) and curve.seconds[-1] - curve.seconds[0] >= seconds


def _between(curve: Curve, begin: float, end: float) -> list[float]:
    samples = zip(curve.seconds, curve.megabytes, strict=True)
    return [megabytes for seconds, megabytes in samples if begin <= seconds < end]


def faults(record: Record, allowed_megabytes: float) -> list[str]:
    """All that is wrong, in sentences; nothing if the soak passed."""
    totals, judged = record.totals(), growths(record.curves, record.seconds, allowed_megabytes)
    return [
        *(["it was interrupted"] if record.interrupted else []),
        *(f"{totals[ending]} requests {told}" for ending, told in FAULTS.items() if totals[ending]),
        *(
            f"no request was {ending}: the soak shows nothing"
            for ending in ("answered", "refused")
            if not totals[ending]
        ),
        *([] if record.probes > 1 else ["the probe was not answered twice: no drift could show"]),
        *(f"the probe's answer changed: {drift}" for drift in record.drifts[:1]),
        *(f"the idle server was busy: {left}" for left in record.left_behind[:1]),
        *(f"{curve.process} ended" for curve in record.curves if curve.ended and _stayed(curve, record.seconds / 4)),
        *_memory_faults(judged),
    ]


def _memory_faults(judged: Sequence[Growth]) -> list[str]:
    if not judged:
        return ["no process was there long enough to judge its memory"]
    return [
        f"{growth.process} grew from {growth.second:.0f} to {growth.last:.0f} MB; {growth.allowed:.0f} MB are allowed"
        for growth in judged
        if not growth.flat
    ]
