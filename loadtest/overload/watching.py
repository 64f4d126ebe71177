"""A server's ratio and queue over time, by its own metrics."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from loadtest.target import Target

INTERVAL = 0.5
"""Seconds between two looks."""
RATIO, WAITING = "gprune_adaptive_prune_ratio", "vllm:num_requests_waiting"


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at a time of `time.perf_counter`: the ratio of requests that name none, and how many wait."""

    time: float
    ratio: float
    waiting: float


@asynccontextmanager
async def watched(target: Target) -> AsyncIterator[list[Look]]:
    """A list that fills with looks at a server."""
    looks: list[Look] = []
    task = asyncio.create_task(_watch(target, looks))
    try:
        yield looks
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _watch(target: Target, looks: list[Look]) -> None:
    while True:
        if text := await target.text("/metrics"):
            looks.append(look_at(text, time.perf_counter()))
        await asyncio.sleep(INTERVAL)


def look_at(text: str, now: float) -> Look:
    """Read what `/metrics` says, summed over engines."""
    found = dict.fromkeys((RATIO, WAITING), 0.0)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in found:
                found[sample.name] += sample.value
    return Look(now, found[RATIO], found[WAITING])
