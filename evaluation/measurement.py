"""Answers to the same questions under several ways of pruning."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tqdm import tqdm

from evaluation.asking import Asker, key_of
from evaluation.cell import Cell
from evaluation.fingerprint import digest
from evaluation.journal import Answer, Journal
from evaluation.sample import Sample
from evaluation.service import Service

WARM_UP = 4
"""Questions asked before the first that is timed."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A cell, measured.

    Attributes:
        answers: one to each question, in the order of the questions.
        samples_per_second: how fast they came, with `in_flight` questions at a time; None where that is not known.
    """

    cell: Cell
    answers: list[Answer]
    samples_per_second: float | None
    in_flight: int


def measure(
    service: Service, cells: Sequence[Cell], samples: Sequence[Sample], journal: Journal, concurrency: int
) -> list[Measurement]:
    """Ask every question under every cell, but for those that the journal knows the answer to.

    Raises:
        EvaluationError: the server does not start, or a request failed.
    """
    fingerprint = service.fingerprint
    missing = {
        cell: [sample for sample in samples if key_of(fingerprint, cell, sample) not in journal] for cell in cells
    }
    if any(missing.values()):
        with service.running() as url:
            asyncio.run(_ask(url, service.model, fingerprint, missing, journal, concurrency))
    return [
        Measurement(
            cell=cell,
            answers=[journal[key_of(fingerprint, cell, sample)] for sample in samples],
            samples_per_second=journal.samples_per_second(_time_key(fingerprint, cell, concurrency)),
            in_flight=concurrency,
        )
        for cell in cells
    ]


async def _ask(
    url: str, model: str, fingerprint: str, missing: dict[Cell, list[Sample]], journal: Journal, in_flight: int
) -> None:
    """Ask what is missing, cell by cell, so that each has its own time."""
    total = sum(len(samples) for samples in missing.values())
    async with Asker(url, model, fingerprint, in_flight) as asker:
        await _warm_up(asker, missing)
        with tqdm(total=total, unit="question", smoothing=0.05, mininterval=1) as bar:

            def keep(answer: Answer) -> None:
                journal.add(answer)
                bar.update()

            for cell, samples in missing.items():
                if samples:
                    bar.set_description(str(cell))
                    with journal.timed(_time_key(fingerprint, cell, in_flight)):
                        await asker.ask_all(cell, samples, keep)


async def _warm_up(asker: Asker, missing: dict[Cell, list[Sample]]) -> None:
    """Ask a few questions of each cell for nothing: the first wait for what a server sets up only when it is asked."""
    for cell, samples in missing.items():
        await asker.ask_all(cell, samples[:WARM_UP], lambda answer: None)


def _time_key(fingerprint: str, cell: Cell, in_flight: int) -> str:
    """Names what the time of a cell depends on."""
    return digest(fingerprint, cell.fields, in_flight)
