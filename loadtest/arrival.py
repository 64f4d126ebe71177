"""When requests are sent: as soon as others are answered, or at times that do not wait for answers."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Send = Callable[[T, float], Awaitable[None]]
"""Sends a request that is due at a time of `time.perf_counter`, and returns when it has been answered."""


class Arrival(Protocol):
    """A pattern of arrivals."""

    @property
    def name(self) -> str:
        """What it is called in names of files and in tables."""

    @property
    def fields(self) -> dict[str, Any]:
        """How `vllm bench serve` writes it down."""

    def count(self, requests: int) -> int:
        """How many requests are sent where `requests` are asked for."""

    async def send_all(self, requests: Sequence[T], send: Send[T], source: random.Random) -> None:
        """Send all requests, and return when all are answered."""


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """Clients that each send their next request when the one before is answered: never more than these in flight."""

    concurrency: int

    @property
    def name(self) -> str:
        return f"concurrency-{self.concurrency}"

    @property
    def fields(self) -> dict[str, Any]:
        return {"request_rate": "inf", "burstiness": 1.0, "max_concurrency": self.concurrency}

    def count(self, requests: int) -> int:
        return requests

    async def send_all(self, requests: Sequence[T], send: Send[T], source: random.Random) -> None:
        remaining = iter(requests)
        async with asyncio.TaskGroup() as group:
            for _ in range(self.concurrency):
                group.create_task(self._send_one_by_one(remaining, send))

    async def _send_one_by_one(self, remaining: Iterator[T], send: Send[T]) -> None:
        for request in remaining:
            await send(request, time.perf_counter())


@dataclass(frozen=True, slots=True)
class Poisson:
    """Independent clients: so many requests a second on average, whether or not others are answered."""

    rate: float

    @property
    def name(self) -> str:
        return f"rate-{self.rate:g}"

    @property
    def fields(self) -> dict[str, Any]:
        return {"request_rate": self.rate, "burstiness": 1.0, "max_concurrency": None}

    def count(self, requests: int) -> int:
        return requests

    async def send_all(self, requests: Sequence[T], send: Send[T], source: random.Random) -> None:
        count = len(requests)
        await _send_at(arrival_times(count, self.rate, self.rate, count / self.rate, source), requests, send)


@dataclass(frozen=True, slots=True)
class Ramp:
    """Independent clients whose rate rises or falls evenly, from one number of requests a second to another."""

    first: float
    last: float
    seconds: float

    @property
    def name(self) -> str:
        return f"ramp-{self.first:g}-{self.last:g}-{self.seconds:g}"

    @property
    def fields(self) -> dict[str, Any]:
        ramp = {"ramp_up_strategy": "linear", "ramp_up_start_rps": self.first, "ramp_up_end_rps": self.last}
        return {"request_rate": "inf", "burstiness": 1.0, "max_concurrency": None, **ramp}

    def count(self, requests: int) -> int:
        return max(1, round((self.first + self.last) / 2 * self.seconds))

    async def send_all(self, requests: Sequence[T], send: Send[T], source: random.Random) -> None:
        times = arrival_times(len(requests), self.first, self.last, self.seconds, source)
        await _send_at(times, requests, send)


def arrival_times(count: int, first: float, last: float, seconds: float, source: random.Random) -> list[float]:
    """Times of a Poisson process with a rate that goes evenly from `first` to `last`, given how many there are.

    Given their number, arrivals are independent draws, as dense as the rate is high: each solves
    `first * t + (last - first) * t^2 / (2 * seconds) = u` for a uniform u.
    """
    expected = (first + last) / 2 * seconds
    drawn = sorted(source.random() * expected for _ in range(count))
    return [2 * u / (first + math.sqrt(first**2 + 2 * (last - first) * u / seconds)) if u else 0.0 for u in drawn]


async def _send_at(times: Sequence[float], requests: Sequence[T], send: Send[T]) -> None:
    """Send each request at its time in seconds from now."""
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for request, seconds in zip(requests, times, strict=True):
            await asyncio.sleep(max(0.0, began + seconds - time.perf_counter()))
            group.create_task(_send(request, began + seconds, send))


async def _send(request: T, due: float, send: Send[T]) -> None:
    await send(request, due)
