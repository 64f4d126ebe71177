"""Answers as they may come, made up."""

from itertools import accumulate

from loadtest.answer import Answer
from loadtest.arrival import ClosedLoop
from loadtest.cell import Cell, Ratios
from loadtest.result import Measurement, Result, result_of


def answered(start: float, *gaps: float, **fields: object) -> Answer:
    """An answer whose first token comes after the first gap, and each other after another."""
    times = list(accumulate((start, *gaps)))[1:]
    known = {"prompt_tokens": 100, "completion_tokens": len(gaps), "visual_input": 80, "visual_kept": 24}
    return Answer(due=start, start=start, times=times, end=times[-1], **{**known, **fields})  # type: ignore[arg-type]


def failed(start: float, error: str = "503: full") -> Answer:
    """A request that got no answer, though a piece of one may have come."""
    return Answer(due=start, start=start, times=[start + 9], end=start + 9, error=error)


ANSWERS = [
    answered(10.0, 0.5, 0.05, 0.07),
    answered(10.1, 0.9, 0.01),
    failed(10.2),
    answered(10.3, 0.2),
    answered(11.0, 1.5, 0.3, 0.3, 0.3),
]


def result(*answers: Answer, ratios: Ratios = (0.7,), seconds: float = 4.0, **objectives: float) -> Result:
    """The figures of a closed loop with two requests in flight."""
    measurement = Measurement(Cell(ratios, ClosedLoop(2)), answers or ANSWERS, seconds, 10.0)
    return result_of(measurement, "tiny", objectives)
