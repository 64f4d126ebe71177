"""A server's ratio and queue over time, by its own metrics."""

import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from loadtest.target import Target
from loadtest.watching import samples, watched

INTERVAL = 0.5
"""Seconds between two looks."""
RATIO, WAITING = "gprune_adaptive_prune_ratio", "vllm:num_requests_waiting"


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at a time of `time.perf_counter`: the ratio of requests that name none, and how many wait."""

    time: float
    ratio: float
    waiting: float


def looks_at(target: Target) -> AbstractAsyncContextManager[list[Look]]:
    """A list that fills with looks at a server."""
    return watched(target, lambda text: [look_at(text, time.perf_counter())], INTERVAL)


def look_at(text: str, now: float) -> Look:
    """Read what `/metrics` says, summed over engines."""
    ratio, waiting = (sum(sample.value for sample in samples(text, name)) for name in (RATIO, WAITING))
    return Look(now, ratio, waiting)
