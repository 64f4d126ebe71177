"""Measure every variant under every pattern of arrivals, several times over."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from loadtest.cell import Arrival, Cell, Ratios, ratio_name
from loadtest.driver import Driver, require
from loadtest.gates import Result, faults
from loadtest.metrics import watched
from loadtest.servers import OURS, STOCK
from loadtest.serving.cache import use

INTERVAL = 1.0
"""Seconds between two looks at the KV cache."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A server, and the ratios that it is asked for."""

    server: str
    ratios: Ratios

    @property
    def name(self) -> str:
        """Its name in tables."""
        if self.server == STOCK:
            return STOCK
        return ratio_name(self.ratios[0]) if len(self.ratios) == 1 else "mixed"


@dataclass(frozen=True, slots=True)
class Taken:
    """One measurement.

    Attributes:
        number: of the round.
        cache_use: the largest share of the KV cache that was seen in use.
    """

    number: int
    variant: Variant
    arrival: Arrival
    result: Result
    cache_use: float


def variants(ratios: Sequence[float]) -> list[Variant]:
    """Stock vLLM, each ratio, and all of them mixed."""
    mixed = [Variant(OURS, tuple(ratios))] if len(ratios) > 1 else []
    return [Variant(STOCK, (None,)), *(Variant(OURS, (ratio,)) for ratio in ratios), *mixed]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What is measured, and how often.

    Attributes:
        drivers: by server. Where more are in flight than they have requests, there are as many as in flight.
    """

    drivers: Mapping[str, Driver]
    variants: Sequence[Variant]
    arrivals: Sequence[Arrival]
    rounds: int

    async def run(self) -> list[Taken]:
        """Measure all of it.

        Raises:
            LoadTestError: a request failed, or nothing proves that it was pruned.
        """
        taken = []
        for number, variant, arrival in self._order():
            print(f"round {number + 1} of {self.rounds}, {variant.name}, {arrival.name}")
            driver = self._driver(variant, arrival, first=not number and arrival == self.arrivals[0])
            async with watched(driver.target.metrics_urls, use, INTERVAL) as seen:
                # In a round all are asked at the same times, or a few requests at a rate could not be compared.
                seed = random.Random(f"round {number}, {arrival.name}").getrandbits(32)
                result = await driver.measure(Cell(variant.ratios, arrival), seed)
            require(result, faults([result]))
            taken.append(Taken(number, variant, arrival, result, max(seen, default=0.0)))
        return taken

    def _driver(self, variant: Variant, arrival: Arrival, first: bool) -> Driver:
        """A server is warm once each variant was asked for."""
        driver = self.drivers[variant.server]
        requests = max(driver.requests, arrival.concurrency or 0)
        return replace(driver, requests=requests, warm_up=driver.warm_up if first else 0)

    def _order(self) -> Iterator[tuple[int, Variant, Arrival]]:
        """Variants follow each other closely, and turn round, so that a machine that slows down favours none."""
        for number in range(self.rounds):
            for arrival in self.arrivals:
                for variant in self.variants if number % 2 == 0 else reversed(self.variants):
                    yield number, variant, arrival
