"""Answers to the same questions under several ways of pruning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from evaluation.cell import Cell
from evaluation.journal import Answer, Journal, key_of, time_key
from evaluation.sample import Sample


class Respondent(Protocol):
    """Who answers questions."""

    @property
    def fingerprint(self) -> str:
        """Names everything that the answers depend on beside the question."""

    def answer(self, questions: Mapping[Cell, Sequence[Sample]], journal: Journal, in_flight: int) -> None:
        """Answer the questions of each cell, some at a time, into the journal.

        Raises:
            EvaluationError: one could not be answered.
        """


@dataclass(frozen=True, slots=True)
class Measurement:
    """A cell, measured.

    Attributes:
        samples: the questions.
        answers: one to each question, in the order of the questions.
        samples_per_second: how fast they came, with `in_flight` questions at a time; None where that is not known.
    """

    cell: Cell
    samples: Sequence[Sample]
    answers: list[Answer]
    samples_per_second: float | None
    in_flight: int


def measure(
    respondent: Respondent, questions: Mapping[Cell, Sequence[Sample]], journal: Journal, in_flight: int
) -> list[Measurement]:
    """Ask the questions of each cell, but for those that the journal knows the answer to.

    Raises:
        EvaluationError: a question could not be answered. What was answered before is in the journal.
    """
    name = respondent.fingerprint
    unknown = {
        cell: [sample for sample in samples if key_of(name, cell, sample) not in journal]
        for cell, samples in questions.items()
    }
    missing = {cell: samples for cell, samples in unknown.items() if samples}
    if missing:
        respondent.answer(missing, journal, in_flight)
    return [
        Measurement(
            cell=cell,
            samples=samples,
            answers=[journal[key_of(name, cell, sample)] for sample in samples],
            samples_per_second=journal.samples_per_second(time_key(name, cell, in_flight)),
            in_flight=in_flight,
        )
        for cell, samples in questions.items()
    ]
