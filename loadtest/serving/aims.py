"""What pruning should come to, and whether it does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from loadtest.servers import STOCK
from loadtest.serving.summary import Row

Verdict = Literal["met", "within the spread", "missed"]
PAPER_GAIN = 2.09
"""The paper's gain in throughput with 70 % of the visual tokens pruned."""
PAPER_RATIO = 0.7


@dataclass(frozen=True, slots=True)
class Judgement:
    """An aim for a row.

    Attributes:
        gain: what was measured, the median of the rounds.
    """

    aim: str
    variant: str
    arrival: str
    gain: float
    verdict: Verdict


def judge(rows: Sequence[Row]) -> list[Judgement]:
    """Each aim for each row that it is for."""
    ours = [row for row in rows if row.variant != STOCK]
    never_slower = [_judge("not slower than stock", row, 1.0) for row in ours]
    paper = [row for row in ours if row.closed and row.result["prune_ratio"] == PAPER_RATIO]
    return never_slower + [_judge(f"at least {PAPER_GAIN} times stock's throughput", row, PAPER_GAIN) for row in paper]


def _judge(aim: str, row: Row, wanted: float) -> Judgement:
    """An aim that is missed in some rounds but not in all of them is within the spread, unless the median meets it."""
    verdict: Verdict = "missed"
    if row.gain.median >= wanted:
        verdict = "met"
    elif row.gain.most >= wanted:
        verdict = "within the spread"
    return Judgement(aim, row.variant, row.arrival, row.gain.median, verdict)
