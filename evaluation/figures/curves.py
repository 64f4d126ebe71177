"""Figures 3 and 4: quality against what it costs, and against the ratio."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from evaluation.cell import UNPRUNED
from evaluation.failure import EvaluationError
from evaluation.figures.canvas import COLOURS, save, subplots
from evaluation.result import Share
from evaluation.scenes.questions import FAMILIES

Row = Mapping[str, Any]
"""An object of table1.json."""


def draw_cost(rows: Sequence[Row], file: Path) -> None:
    """Figure 3: right answers of each family against floating-point operations, a line for each method.

    Raises:
        EvaluationError: the costs are not known.
    """
    if any(row["flops"] is None for row in rows):
        raise EvaluationError("the model's configuration was not at hand when table1.json was written: no FLOPs")
    unit, name = _unit(max(row["flops"] for row in rows))
    _draw(rows, file, "flops", 1 / unit, f"{name} up to the first answered token")


def draw_ratios(rows: Sequence[Row], file: Path) -> None:
    """Figure 4: right answers of each family against the pruning ratio, a line for each method."""
    _draw(rows, file, "ratio", 100, "visual tokens pruned (%)")


def _draw(rows: Sequence[Row], file: Path, across: str, scale: float, label: str) -> None:
    figure, all_axes = subplots(len(FAMILIES), width=3.6, heights=[3.8])
    for family, axes in zip(FAMILIES, all_axes, strict=True):
        of_family = [row for row in rows if row["family"] == family]
        for method in methods_of(rows):
            _draw_line(axes, [row for row in of_family if row["method"] in (method, UNPRUNED)], method, across, scale)
        axes.set(title=family, xlabel=label)
        axes.grid(alpha=0.3)
    all_axes[0].set_ylabel("right answers (%)")
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    save(figure, file)


def _draw_line(axes: Axes, rows: Sequence[Row], method: str, across: str, scale: float) -> None:
    """A method's line through its ratios, from ratio 0 on, with 95 % confidence intervals."""
    points = []
    for ratio in sorted({row["ratio"] for row in rows}):
        at_ratio = [row for row in rows if row["ratio"] == ratio]
        share = pooled(at_ratio)
        points.append((at_ratio[0][across] * scale, share.accuracy, *share.interval))
    places, accuracies, lows, highs = zip(*points, strict=True)
    below = [100 * (accuracy - low) for accuracy, low in zip(accuracies, lows, strict=True)]
    above = [100 * (high - accuracy) for accuracy, high in zip(accuracies, highs, strict=True)]
    percent = [100 * accuracy for accuracy in accuracies]
    axes.errorbar(
        places, percent, yerr=(below, above), label=method, color=COLOURS.get(method), marker="o", ms=4, elinewidth=0.6
    )


def methods_of(rows: Sequence[Row]) -> list[str]:
    """The methods of a table in its order, the one that prunes nothing left out."""
    return list(dict.fromkeys(row["method"] for row in rows if row["method"] != UNPRUNED))


def pooled(rows: Sequence[Row]) -> Share:
    """The share of all questions of some tasks."""
    right = sum(round(row["accuracy"] * row["questions"]) for row in rows)
    return Share(right, sum(row["questions"] for row in rows))


def _unit(largest: float) -> tuple[float, str]:
    """A unit in which a cost is a number one can read."""
    return (1e12, "TFLOPs") if largest >= 1e12 else (1e9, "GFLOPs")
