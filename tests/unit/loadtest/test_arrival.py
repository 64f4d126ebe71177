"""Requests are sent when their pattern says."""

import asyncio
import random
import time

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import kstest

from loadtest.arrival import Arrival, ClosedLoop, Poisson, Ramp, arrival_times


class Recorder:
    """Takes requests, and answers each after a time."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds = seconds
        self.sent: list[int] = []
        self.due: list[float] = []
        self.in_flight = 0
        self.most_in_flight = 0

    async def send(self, request: int, due: float) -> None:
        self.sent.append(request)
        self.due.append(due)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(self._seconds)
        self.in_flight -= 1


@pytest.mark.parametrize(("concurrency", "reached"), [(1, 1), (3, 3), (50, 20)])
async def test_a_closed_loop_keeps_so_many_in_flight(concurrency: int, reached: int) -> None:
    recorder = Recorder(0.002)
    await ClosedLoop(concurrency).send_all(range(20), recorder.send, random.Random(0))
    assert sorted(recorder.sent) == list(range(20))
    assert (recorder.most_in_flight, recorder.in_flight) == (reached, 0)


@pytest.mark.parametrize("arrival", [Poisson(1000), Ramp(0, 1000, 0.04)])
async def test_open_patterns_do_not_wait_for_answers(arrival: Arrival) -> None:
    recorder = Recorder(0.2)
    began = time.perf_counter()
    await arrival.send_all(range(20), recorder.send, random.Random(0))
    assert recorder.sent == list(range(20))
    assert (recorder.most_in_flight, recorder.in_flight) == (20, 0)
    assert recorder.due == sorted(recorder.due)
    assert all(due - began >= 0 for due in recorder.due)


def test_poisson_arrivals_are_spread_evenly_over_their_time() -> None:
    times = arrival_times(2000, 4, 4, 500, random.Random(1))
    assert times == sorted(times)
    assert kstest(times, "uniform", args=(0, 500)).pvalue > 0.01


@pytest.mark.parametrize(("first", "last"), [(1, 9), (9, 1), (0, 5), (5, 0)])
def test_the_rate_of_a_ramp_is_even(first: float, last: float) -> None:
    times = arrival_times(5000, first, last, 100, random.Random(2))

    def expected(t: NDArray[np.float64]) -> NDArray[np.float64]:
        """The share of arrivals until a time: the integral of the rate."""
        share: NDArray[np.float64] = (first * t + (last - first) * t**2 / 200) / ((first + last) / 2 * 100)
        return share

    assert kstest(times, expected).pvalue > 0.01


def test_a_ramp_tells_how_many_requests_it_has() -> None:
    assert Ramp(1, 3, 10).count(64) == 20
    assert Ramp(0, 0.01, 1).count(64) == 1
    assert ClosedLoop(8).count(64) == Poisson(2).count(64) == 64


def test_the_same_seed_gives_the_same_times() -> None:
    assert arrival_times(9, 1, 1, 9, random.Random(3)) == arrival_times(9, 1, 1, 9, random.Random(3))
    assert arrival_times(9, 1, 1, 9, random.Random(3)) != arrival_times(9, 1, 1, 9, random.Random(4))
