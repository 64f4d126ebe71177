"""Measure every variant under every pattern of arrivals, several times over."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

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


async def measure_rounds(
    drivers: Mapping[str, Driver], asked: Mapping[str, Variant], arrivals: Sequence[Arrival], rounds: int
) -> list[Result]:
    """Measure all of it; return results with `round`, `variant` and `cache_use`, the most seen in use.

    Args:
        drivers: by server. Where more are in flight than they have requests, there are as many as in flight.

    Raises:
        LoadTestError: a request failed, or nothing proves that it was pruned.
    """
    taken = []
    for number, arrival in product(range(rounds), arrivals):
        # In a round all are asked at the same times, or a few requests at a rate could not be compared.
        seed = random.Random(f"round {number}, {arrival.name}").getrandbits(32)
        # Variants follow each other closely, and turn round, so that a machine that slows down favours none.
        for name in list(asked)[:: -1 if number % 2 else 1]:
            print(f"round {number + 1} of {rounds}, {name}, {arrival.name}")
            server, ratios = asked[name]
            driver = drivers[server]
            # A server is warm once each variant was asked for.
            warm_up = driver.warm_up if number == 0 and arrival == arrivals[0] else 0
            driver = replace(driver, requests=max(driver.requests, arrival.concurrency or 0), warm_up=warm_up)
            async with driver.target.watched(cache_use, INTERVAL) as seen:
                result = await driver.measure_whole(Cell(ratios, arrival), seed)
            taken.append(result | {"round": number, "variant": name, "cache_use": max(seen, default=0.0)})
    return taken


def cache_use(text: str) -> float:
    """The share of the KV cache that is in use, by what `/metrics` says."""
    return max((sample.value for sample in samples(text, USE)), default=0.0)
