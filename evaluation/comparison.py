"""One method against another, question by question: sharper than two confidence intervals side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.journal import Answer
from evaluation.markdown import table
from evaluation.measurement import Measurement
from evaluation.sample import FAMILY_OF
from evaluation.scenes.questions import FAMILIES
from evaluation.score import is_right, sign_test


@dataclass(frozen=True, slots=True)
class Comparison:
    """Questions that only the one method answered right, and those that only the other did."""

    wins: int
    losses: int

    @classmethod
    def of(cls, ones: Sequence[Answer], others: Sequence[Answer]) -> "Comparison":
        """Compare answers to the same questions, in the same order."""
        pairs = [(_is_right(one), _is_right(other)) for one, other in zip(ones, others, strict=True)]
        return cls(pairs.count((True, False)), pairs.count((False, True)))

    @property
    def probability(self) -> float:
        """How likely a difference of at least this size is by chance."""
        return sign_test(self.wins, self.losses)

    def __str__(self) -> str:
        mark = "**" if self.probability < 0.05 else ""
        return f"{mark}+{self.wins} -{self.losses}{mark}"


def comparisons(measurements: Sequence[Measurement], method: str) -> str:
    """A table of a method against each other at the same ratio, family by family; empty where there is none."""
    ours = {one.cell.ratio: one for one in measurements if one.cell.method == method}
    pairs = [(one, ours[one.cell.ratio]) for one in measurements if one.cell.ratio in ours]
    rows = [
        [other.cell.method, f"{other.cell.ratio:.0%}", *(_by_family(one, other, family) for family in FAMILIES)]
        for other, one in pairs
        if other is not one
    ]
    if not rows:
        return ""
    return (
        f"Questions that {method} alone answered right (+) and that the other method alone did (-), bold where the "
        "sign test gives a difference of that size less than 5 % by chance:\n\n"
    ) + table([f"{method} against", "pruned", *FAMILIES], rows)


def _by_family(one: Measurement, other: Measurement, family: str) -> Comparison:
    return Comparison.of(_of_family(one, family), _of_family(other, family))


def _of_family(measurement: Measurement, family: str) -> list[Answer]:
    return [answer for answer in measurement.answers if FAMILY_OF[answer.task] == family]


def _is_right(answer: Answer) -> bool:
    return is_right(answer.text, answer.expected)
