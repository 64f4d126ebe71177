"""Measure every variant under every pattern of arrivals, several times over."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from loadtest.cell import Arrival, Cell, Ratios, ratio_name
from loadtest.driver import Driver
from loadtest.gates import Result
from loadtest.servers import OURS, STOCK
from loadtest.target import samples

USE = "vllm:kv_cache_usage_perc"
INTERVAL = 1.0
"""Seconds between two looks at the KV cache."""


Variant = tuple[str, Ratios]
"""A server, and the ratios that it is asked for."""


def variants(ratios: Sequence[float]) -> dict[str, Variant]:
    """Stock vLLM, each ratio, and all of them mixed, by their names in tables."""
    mixed = {"mixed": (OURS, tuple(ratios))} if len(ratios) > 1 else {}
    return {STOCK: (STOCK, (None,)), **{ratio_name(ratio): (OURS, (ratio,)) for ratio in ratios}, **mixed}


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What is measured, and how often.

    Attributes:
        drivers: by server. Where more are in flight than they have requests, there are as many as in flight.
    """

    drivers: Mapping[str, Driver]
    variants: Mapping[str, Variant]
    arrivals: Sequence[Arrival]
    rounds: int

    async def run(self) -> list[Result]:
        """Measure all of it; return results with `round`, `variant` and `cache_use`, the most seen in use.

        Raises:
            LoadTestError: a request failed, or nothing proves that it was pruned.
        """
        taken = []
        for number, arrival, variant in self._order():
            server, ratios = self.variants[variant]
            print(f"round {number + 1} of {self.rounds}, {variant}, {arrival.name}")
            driver = self.drivers[server]
            # A server is warm once each variant was asked for.
            warm_up = driver.warm_up if number == 0 and arrival == self.arrivals[0] else 0
            driver = replace(driver, requests=max(driver.requests, arrival.concurrency or 0), warm_up=warm_up)
            async with driver.target.watched(cache_use, INTERVAL) as seen:
                # In a round all are asked at the same times, or a few requests at a rate could not be compared.
                seed = random.Random(f"round {number}, {arrival.name}").getrandbits(32)
                result = await driver.measure_whole(Cell(ratios, arrival), seed)
            taken.append(result | {"round": number, "variant": variant, "cache_use": max(seen, default=0.0)})
        return taken

    def _order(self) -> Iterator[tuple[int, Arrival, str]]:
        """Variants follow each other closely, and turn round, so that a machine that slows down favours none."""
        for number in range(self.rounds):
            for arrival in self.arrivals:
                for variant in list(self.variants)[:: -1 if number % 2 else 1]:
                    yield number, arrival, variant


def cache_use(text: str) -> float:
    """The share of the KV cache that is in use, by what `/metrics` says."""
    return max((sample.value for sample in samples(text, USE)), default=0.0)
