"""Measure cells, one after the other."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from loadtest.answer import Answer
from loadtest.cell import Cell
from loadtest.request import Request
from loadtest.result import Measurement
from loadtest.target import Target
from loadtest.workload import Workload


@dataclass(frozen=True, slots=True)
class Meter:
    """Measures cells on one server.

    Attributes:
        target: the server.
        workload: what is asked.
        requests: in each cell, but where the arrivals tell how many.
        warm_up: requests before each cell that are not counted.
        source: of chance.
    """

    target: Target
    workload: Workload
    requests: int
    warm_up: int
    source: random.Random

    async def measure(self, cell: Cell, tell: Callable[[Answer], None] = lambda answer: None) -> Measurement:
        """Send the requests of a cell; `tell` is told of each answer. All bodies are made before the clock starts."""
        await self._warm_up(cell)
        requests = self.workload.requests(cell.arrival.count(self.requests), cell.ratios, self.source)
        answers: list[Answer] = []

        async def send(request: Request, due: float) -> None:
            answers.append(await self.target.ask(request, due))
            tell(answers[-1])

        began = time.perf_counter()
        await cell.arrival.send_all(requests, send, self.source)
        return Measurement(cell, answers, time.perf_counter() - began, began)

    async def _warm_up(self, cell: Cell) -> None:
        for request in self.workload.requests(self.warm_up, cell.ratios, self.source):
            await self.target.ask(request, time.perf_counter())


async def measure_all(meter: Meter, cells: Sequence[Cell], keep: Callable[[Measurement], None]) -> None:
    """Measure all cells, with a progress bar; `keep` gets each measurement as soon as it is there.

    A cell in which no request was answered is the last: nothing is to be learnt from asking on.
    """
    total = sum(cell.arrival.count(meter.requests) for cell in cells)
    with tqdm(total=total, unit="request", smoothing=0.05) as bar:
        failed = 0

        def tell(answer: Answer) -> None:
            nonlocal failed
            failed += not answer.succeeded
            bar.set_postfix(failed=failed, refresh=False)
            bar.update()

        for cell in cells:
            bar.set_description(cell.name)
            measurement = await meter.measure(cell, tell)
            keep(measurement)
            if not measurement.whole:
                break
