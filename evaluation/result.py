"""Measured shares of right answers, task by task and family by family."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.journal import Answer
from evaluation.measurement import Measurement
from evaluation.sample import FAMILY_OF
from evaluation.scenes.questions import FAMILIES
from evaluation.score import is_right, wilson_interval


@dataclass(frozen=True, slots=True)
class Share:
    """How many of some questions were answered right."""

    right: int
    questions: int

    @classmethod
    def of(cls, answers: Sequence[Answer]) -> "Share":
        return cls(sum(is_right(answer.text, answer.expected) for answer in answers), len(answers))

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
    tasks = [task for tasks in FAMILIES.values() for task in tasks]
    answers = {task: [answer for answer in measurement.answers if answer.task == task] for task in tasks}
    return {task: Share.of(found) for task, found in answers.items() if found}


def family_shares(measurement: Measurement) -> dict[str, Share]:
    """The share of each family's questions, those of its tasks taken together."""
    answers = {
        family: [answer for answer in measurement.answers if FAMILY_OF[answer.task] == family] for family in FAMILIES
    }
    return {family: Share.of(found) for family, found in answers.items() if found}


def mean_accuracy(shares: Iterable[Share]) -> float:
    """The mean of the families' accuracies, whatever their numbers of questions, as the paper averages benchmarks."""
    accuracies = [share.accuracy for share in shares]
    return sum(accuracies) / len(accuracies)


def mean_visual_tokens(measurement: Measurement) -> float:
    """Visual tokens of a prompt that reached the language model, in the mean over the questions."""
    return sum(answer.visual_tokens for answer in measurement.answers) / len(measurement.answers)


def family_names(measurement: Measurement) -> list[str]:
    """The columns of `family_cells`."""
    return [*family_shares(measurement), "mean", "visual tokens", "samples/s"]


def family_cells(measurement: Measurement) -> list[object]:
    """What a Markdown table says of a measurement: its families, their mean, its length and its speed."""
    shares, speed = family_shares(measurement), measurement.samples_per_second
    return [
        *shares.values(),
        f"{100 * mean_accuracy(shares.values()):.1f}",
        f"{mean_visual_tokens(measurement):.0f}",
        "" if speed is None else f"{speed:.1f}",
    ]


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
