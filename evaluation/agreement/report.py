"""What judgements of answers say about methods and ratios."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from evaluation.agreement.judgement import Judgement
from evaluation.cell import UNPRUNED, Cell
from evaluation.markdown import table
from evaluation.score import clustered_interval


@dataclass(frozen=True, slots=True)
class Row:
    """Judgements under one cell.

    Attributes:
        agreement: mean over the answers of the share of tokens that the unpruned model would have put first.
        low: lower bound of the agreement at 95 % confidence.
        high: upper bound.
        gap: mean gap of the answers in nats.
        saved: share of visual tokens that was dropped.
        judged: answers that were judged.
        skipped: answers that were not: they are empty, or their text gives other tokens.
    """

    method: str
    ratio: float
    agreement: float
    low: float
    high: float
    gap: float
    saved: float
    judged: int
    skipped: int

    @classmethod
    def of(cls, cell: Cell, judgements: Sequence[Judgement]) -> "Row | None":
        """Summarise the judgements under a cell; None if no answer was judged."""
        judged = [each for each in judgements if each.tokens]
        if not judged:
            return None
        agreements = [each.agreement for each in judged]
        low, high = clustered_interval(agreements, [each.about for each in judged])
        return cls(
            method=cell.method,
            ratio=cell.ratio,
            agreement=fmean(agreements),
            low=low,
            high=high,
            gap=fmean(each.gap for each in judged),
            saved=1 - sum(each.kept for each in judged) / sum(each.input for each in judged),
            judged=len(judged),
            skipped=len(judgements) - len(judged),
        )

    @property
    def fields(self) -> dict[str, object]:
        return asdict(self)


def recommendation(rows: Sequence[Row], pictures: int, least: float) -> str:
    """Recommend the largest ratio at which agreement is surely at least `least`, by the method that agrees most."""
    pruned = [row for row in rows if row.method != UNPRUNED]
    kept = [row for row in pruned if row.low >= least]
    if kept:
        best = max(kept, key=lambda row: (row.ratio, row.agreement))
        return f"{_sentence(best, pictures)} It is the largest measured ratio that surely keeps {least:.0%}."
    if not pruned:
        return "No pruned answer was judged."
    best = max(pruned, key=lambda row: row.low)
    return f"No measured ratio surely keeps {least:.0%}. {_sentence(best, pictures)} Measure smaller ratios."


def _sentence(row: Row, pictures: int) -> str:
    return (
        f"{row.ratio:g} with {row.method} keeps {row.agreement:.0%} ({100 * row.low:.0f} to {100 * row.high:.0f}) of "
        f"answer tokens on these {pictures} pictures, and saves {row.saved:.0%} of visual tokens."
    )


def table_of(rows: Sequence[Row]) -> str:
    """Write the rows as a table."""
    header = ["method", "ratio", "agreement", "95 %", "gap in nats", "tokens saved", "judged", "not judged"]
    lines = [
        [
            row.method,
            f"{row.ratio:g}",
            f"{row.agreement:.3f}",
            f"{row.low:.3f} to {row.high:.3f}",
            f"{row.gap:.2f}",
            f"{row.saved:.0%}",
            row.judged,
            row.skipped,
        ]
        for row in rows
    ]
    return table(header, lines)


def draw(rows: Sequence[Row], file: Path) -> None:
    """Draw agreement, with its intervals, over the share of visual tokens that is saved."""
    from evaluation.figures.canvas import COLOURS, save, subplots

    figure, (axes,) = subplots(1, width=6.0)
    for method in dict.fromkeys(row.method for row in rows if row.method != UNPRUNED):
        line = sorted((row for row in rows if row.method in (method, UNPRUNED)), key=lambda row: row.ratio)
        bounds = [[row.agreement - row.low for row in line], [row.high - row.agreement for row in line]]
        axes.errorbar(
            [100 * row.saved for row in line],
            [100 * row.agreement for row in line],
            yerr=[[max(0.0, 100 * each) for each in side] for side in bounds],  # not -0.0 by rounding
            label=method,
            color=COLOURS.get(method),
            marker="o",
            capsize=2,
        )
    axes.set_xlabel("visual tokens saved (%)")
    axes.set_ylabel("answer tokens that agree (%)")
    axes.legend()
    save(figure, file)
