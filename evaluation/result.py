"""Measured shares of right answers, task by task and family by family."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.journal import Answer
from evaluation.markdown import table
from evaluation.measurement import Measurement
from evaluation.sample import FAMILY_OF
from evaluation.scenes.questions import FAMILIES, TASKS
from evaluation.score import wilson_interval


@dataclass(frozen=True, slots=True)
class Share:
    """How many of some questions were answered right."""

    right: int
    questions: int

    @property
    def accuracy(self) -> float:
        return self.right / self.questions if self.questions else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Bounds of the accuracy at 95 % confidence."""
        return wilson_interval(self.right, self.questions)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{100 * self.accuracy:.1f} ({100 * low:.0f}-{100 * high:.0f})"


def task_shares(measurement: Measurement) -> dict[str, Share]:
    """The share of each task that has questions."""
    return _shares(measurement.answers, TASKS, lambda answer: answer.task)


def family_shares(measurement: Measurement) -> dict[str, Share]:
    """The share of each family's questions, those of its tasks taken together."""
    return _shares(measurement.answers, FAMILIES, lambda answer: FAMILY_OF[answer.task])


def _shares(answers: Sequence[Answer], names: Iterable[str], name_of: Callable[[Answer], str]) -> dict[str, Share]:
    right = {name: [answer.is_right for answer in answers if name_of(answer) == name] for name in names}
    return {name: Share(sum(each), len(each)) for name, each in right.items() if each}


def mean_accuracy(shares: Iterable[Share]) -> float:
    """The mean of the families' accuracies, whatever their numbers of questions, as the paper averages benchmarks."""
    accuracies = [share.accuracy for share in shares]
    return sum(accuracies) / len(accuracies)


def mean_visual_tokens(measurement: Measurement) -> float:
    """Visual tokens of a prompt that reached the language model, in the mean over the questions."""
    return sum(answer.visual_tokens for answer in measurement.answers) / len(measurement.answers)


def family_table(
    measurements: Sequence[Measurement],
    labels: Sequence[Mapping[str, str]],
    published: Sequence[Sequence[str]],
    text_columns: int,
) -> str:
    """A table in Markdown: families, their mean, the prompt's visual tokens and the speed, a row for each measurement.

    Args:
        labels: what the first columns say of each measurement.
        published: first a header and then what the last columns say of each measurement.
        text_columns: how many of the first columns are text.
    """
    first, (titles, *figures) = measurements[0], published
    header = [*labels[0], *family_shares(first), "mean", "visual tokens", "samples/s", *titles]
    rows = [
        [*label.values(), *_family_cells(measurement), *cells]
        for measurement, label, cells in zip(measurements, labels, figures, strict=True)
    ]
    return (
        f"Right answers in %, with the 95 % confidence interval (Wilson); {len(first.answers)} questions a row, "
        f"{first.in_flight} in flight.\n\n" + table(header, rows, text_columns)
    )


def _family_cells(measurement: Measurement) -> list[object]:
    shares, speed = family_shares(measurement).values(), measurement.samples_per_second
    figures = f"{100 * mean_accuracy(shares):.1f}", f"{mean_visual_tokens(measurement):.0f}"
    return [*shares, *figures, "" if speed is None else f"{speed:.1f}"]


def rows(measurement: Measurement, flops: float | None = None, **labels: Any) -> list[dict[str, Any]]:
    """What JSON files say of a measurement: an object for each task.

    Args:
        flops: floating-point operations of a question up to its first answered token, in the mean.
        labels: what else tells this measurement from others.
    """
    return [
        {
            "method": measurement.cell.method,
            "ratio": measurement.cell.ratio,
            "task": task,
            "accuracy": share.accuracy,
            "questions": share.questions,
            "low": share.interval[0],
            "high": share.interval[1],
            "family": FAMILY_OF[task],
            "visual_tokens": mean_visual_tokens(measurement),
            "flops": flops,
            "samples_per_second": measurement.samples_per_second,
            "in_flight": measurement.in_flight,
            **labels,
        }
        for task, share in task_shares(measurement).items()
    ]
