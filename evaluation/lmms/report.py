"""lmms-eval's scores in the layout of the paper's table 1."""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.cell import Cell
from evaluation.failure import EvaluationError
from evaluation.lmms.scenes import NAME as SCENES_TASK
from evaluation.markdown import table
from evaluation.published import BENCHMARKS, TABLE_1

METRICS = {
    "gqa": ("exact_match", 100),
    "vqav2_val": ("exact_match", 100),
    "mme": ("mme_perception_score", 1),
    "pope": ("pope_f1_score", 100),
    "mmbench_en_dev": ("gpt_eval_score", 1),
    "chartqa": ("relaxed_overall", 100),
    "docvqa_val": ("anls", 100),
    "textvqa_val": ("exact_match", 100),
    SCENES_TASK: ("exact", 100),
}
"""The metric of each task that the paper reports, and what to multiply it by."""

Scores = Mapping[Cell, Mapping[str, dict[str, Any]]]
"""What lmms-eval reports, by cell and task."""


def score(report: Mapping[str, Any], task: str) -> float:
    """A task's score on the paper's scale; of a task that the paper lacks, its first metric as it is.

    Raises:
        EvaluationError: lmms-eval reports no such metric.
    """
    found = {name.partition(",")[0]: value for name, value in report["results"][task].items()}
    numbers = {name: value for name, value in found.items() if isinstance(value, int | float)}
    metric, factor = METRICS.get(task) or (next(iter(numbers), ""), 1)
    if metric not in numbers:
        raise EvaluationError(f"lmms-eval reports no {metric or 'number'} of {task}: {found}")
    return float(numbers[metric]) * factor


def speed(report: Mapping[str, Any]) -> float:
    return float(report["throughput"]["avg_samples_per_second"])


def rows(scores: Scores) -> list[dict[str, Any]]:
    """What the JSON file says: an object for each cell and task."""
    return [
        {
            "method": cell.method,
            "ratio": cell.ratio,
            "task": task,
            "score": score(report, task),
            "questions": report["n-samples"][task]["effective"],
            "samples_per_second": speed(report),
        }
        for cell, reports in scores.items()
        for task, report in reports.items()
    ]


def markdown(scores: Scores, tasks: Sequence[str]) -> str:
    """A row for each cell, and below it the paper's, where it has that cell."""
    header = ["method", "pruned", *(BENCHMARKS.get(task, task) for task in tasks), "samples/s"]
    lines: list[list[str]] = []
    for cell, reports in scores.items():
        speeds = [speed(report) for report in reports.values()]
        measured = [f"{score(reports[task], task):.2f}" for task in tasks]
        lines.append([cell.method, f"{cell.ratio:.0%}", *measured, f"{sum(speeds) / len(speeds):.2f}"])
        published = dict(zip(BENCHMARKS, TABLE_1.get((cell.method, cell.ratio), ()), strict=False))
        if any(task in published for task in tasks):
            cells = [f"{published[task]:.2f}" if task in published else "" for task in tasks]
            lines.append([f"paper: {cell.method}", f"{cell.ratio:.0%}", *cells, ""])
    return table(header, lines)
