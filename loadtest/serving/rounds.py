"""Measure every variant under every pattern of arrivals, several times over."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from evaluation.failure import EvaluationError
from loadtest.arrival import Arrival, ClosedLoop
from loadtest.cell import Cell, Ratios, ratio_name
from loadtest.images import Size, generated
from loadtest.measuring import Meter
from loadtest.result import Measurement
from loadtest.serving.cache import use_of
from loadtest.serving.servers import OURS, STOCK
from loadtest.target import Target
from loadtest.workload import Workload

WARM_UP = ClosedLoop(2)


@dataclass(frozen=True, slots=True)
class Variant:
    """A server, and what it is asked for."""

    server: str
    ratios: Ratios

    @property
    def name(self) -> str:
        """What it is called in tables."""
        ratio = Cell(self.ratios, WARM_UP).prune_ratio
        return self.server if ratio is None else ratio_name(ratio)


@dataclass(frozen=True, slots=True)
class Taken:
    """One measurement.

    Attributes:
        number: of the round.
        cache_use: the largest share of the KV cache that was seen in use.
    """

    number: int
    variant: Variant
    measurement: Measurement
    cache_use: float


def variants(ratios: Sequence[float]) -> list[Variant]:
    """Stock vLLM, each ratio, and all of them mixed."""
    mixed = [Variant(OURS, tuple(ratios))] if len(ratios) > 1 else []
    return [Variant(STOCK, (None,)), *(Variant(OURS, (ratio,)) for ratio in ratios), *mixed]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What is measured, and how often.

    Attributes:
        targets: the servers by name.
        models: the name of each one's model.
        requests: in a measurement; at least as many as are in flight.
        source: of images.
    """

    targets: Mapping[str, Target]
    models: Mapping[str, str]
    variants: Sequence[Variant]
    arrivals: Sequence[Arrival]
    requests: int
    rounds: int
    size: Size
    max_tokens: int
    source: random.Random

    async def run(self) -> list[Taken]:
        """Measure all of it.

        Raises:
            EvaluationError: a request failed.
        """
        taken = []
        for variant in self.variants:
            await self._measure(variant, WARM_UP, 2, random.Random(0))
        with tqdm(total=self.rounds * len(self.variants) * len(self.arrivals), unit="measurement") as bar:
            for number, variant, arrival in self._order():
                bar.set_description(f"round {number + 1}, {variant.name}, {arrival.name}")
                async with use_of(self.targets[variant.server]) as seen:
                    # In a round all are asked at the same times, or a few requests at a rate could not be compared.
                    chance = random.Random(f"round {number}, {arrival.name}")
                    measurement = await self._measure(variant, arrival, self._count(arrival), chance)
                taken.append(Taken(number, variant, measurement, max(seen, default=0.0)))
                bar.update()
        return taken

    def _order(self) -> Iterator[tuple[int, Variant, Arrival]]:
        """Variants follow each other closely, and turn round, so that a machine that slows down favours none."""
        for number in range(self.rounds):
            for arrival in self.arrivals:
                for variant in self.variants if number % 2 == 0 else reversed(self.variants):
                    yield number, variant, arrival

    def _count(self, arrival: Arrival) -> int:
        return max(self.requests, arrival.concurrency if isinstance(arrival, ClosedLoop) else 0)

    async def _measure(self, variant: Variant, arrival: Arrival, requests: int, chance: random.Random) -> Measurement:
        workload = Workload(
            model=self.models[variant.server],
            images=generated([self.size], self.source),
            max_tokens=self.max_tokens,
            fields={"ignore_eos": True},
        )
        meter = Meter(self.targets[variant.server], workload, requests, 0, chance)
        measurement = await meter.measure(Cell(variant.ratios, arrival))
        for answer in measurement.answers:
            if answer.error:
                raise EvaluationError(f"a request failed ({variant.name}, {arrival.name}): {answer.error}")
        return measurement
