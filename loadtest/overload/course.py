"""How one server went through the burst."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.failure import EvaluationError
from loadtest.answer import Answer
from loadtest.arrival import Arrival
from loadtest.cell import Cell
from loadtest.measuring import Meter
from loadtest.overload.watching import INTERVAL, Look, looks_at
from loadtest.result import Measurement

PATIENCE = 120.0
"""Seconds in which the ratio must be back where it was once the burst is over."""


@dataclass(frozen=True, slots=True)
class Course:
    """A burst and what followed. Times are those of `time.perf_counter`.

    Attributes:
        policy: of pruning.
        burst: its answers.
        looks: at the server, from the first request on.
        over: when the last request of the burst was answered.
        after: the answer to a request that came when the ratio was back, or when patience was lost.
    """

    policy: str
    burst: Measurement
    looks: Sequence[Look]
    over: float
    after: Answer

    @property
    def recovery(self) -> float | None:
        """Seconds from the end of the burst until the ratio was back where it began; None if it never was."""
        back = (look.time for look in self.looks if look.time >= self.over and look.ratio == self.looks[0].ratio)
        first = next(back, None)
        return None if first is None else max(0.0, first - self.over)


async def measured(meter: Meter, arrival: Arrival) -> Measurement:
    """Requests that name no ratio.

    Raises:
        EvaluationError: one was not answered.
    """
    measurement = await meter.measure(Cell((None,), arrival))
    for answer in measurement.answers:
        if answer.error:
            raise EvaluationError(f"a request failed: {answer.error}")
    return measurement


async def run_course(policy: str, meter: Meter, arrival: Arrival) -> Course:
    """Put a server through a burst, and wait until it has recovered.

    Raises:
        EvaluationError: a request was not answered.
    """
    async with looks_at(meter.target) as looks:
        while not looks:
            await asyncio.sleep(INTERVAL / 10)
        burst = await measured(meter, arrival)
        over = time.perf_counter()
        await _recover(looks, over)
        (request,) = meter.workload.requests(1, (None,), meter.source)
        after = await meter.target.ask(request, time.perf_counter())
    return Course(policy, burst, tuple(looks), over, after)


async def _recover(looks: list[Look], over: float) -> None:
    """Wait for a look after the burst that shows the ratio of before it."""
    while time.perf_counter() < over + PATIENCE and not (looks[-1].time >= over and looks[-1].ratio == looks[0].ratio):
        await asyncio.sleep(INTERVAL)
