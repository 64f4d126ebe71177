"""One method against another, question by question: sharper than two confidence intervals side by side."""

from collections.abc import Sequence

from evaluation.markdown import table
from evaluation.measurement import Measurement
from evaluation.sample import FAMILY_OF
from evaluation.scenes.questions import FAMILIES
from evaluation.score import sign_test


def comparisons(measurements: Sequence[Measurement], method: str) -> str:
    """A table of a method against each other at the same ratio, family by family; empty where there is none."""
    ours = {one.cell.ratio: one for one in measurements if one.cell.method == method}
    rows = [
        [
            other.cell.method,
            f"{other.cell.ratio:.0%}",
            *(compare(ours[other.cell.ratio], other, name) for name in FAMILIES),
        ]
        for other in measurements
        if other.cell.ratio in ours and other is not ours[other.cell.ratio]
    ]
    if not rows:
        return ""
    return (
        f"Questions that {method} alone answered right (+) and that the other method alone did (-), bold where the "
        "sign test gives a difference of that size less than 5 % by chance:\n\n"
    ) + table([f"{method} against", "pruned", *FAMILIES], rows)


def compare(one: Measurement, other: Measurement, family: str) -> str:
    """How often only the one, and how often only the other answered a question of a family right."""
    pairs = [
        (mine.is_right, its.is_right)
        for mine, its in zip(one.answers, other.answers, strict=True)
        if FAMILY_OF[mine.task] == family
    ]
    return marked(pairs.count((True, False)), pairs.count((False, True)))


def marked(wins: int, losses: int) -> str:
    """Both counts, bold where their difference is hardly by chance."""
    mark = "**" if sign_test(wins, losses) < 0.05 else ""
    return f"{mark}+{wins} -{losses}{mark}"
