"""The fuzz test with thousands of requests, which are others each time."""

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.fuzzing.fuzzer import Fuzzer
from tests.support.fuzzing.health import Health
from tests.support.fuzzing.slow import slow_cases
from tests.support.servers import Server

LARGEST = 64 * 1024 * 1024 - 1024
"""Bytes of the largest body, but for a few."""


@pytest.fixture(scope="module")
def fuzzer(server: Server) -> Iterator[Fuzzer]:
    health = Health()
    with Fuzzer(server, fresh=True) as opened, health.watched(server.url):
        yield opened
    print(f"\n{opened.slowest:.1f} s at most for an answer, {health.slowest:.1f} s for /health")
    assert opened.slowest < 2
    assert health.slowest < 1


@pytest.fixture(scope="module")
def count(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("fuzz_cases"))


def test_no_request_harms_the_server(fuzzer: Fuzzer, count: int) -> None:
    with fuzzer.unharmed():
        fuzzer.send_requests(count * 4 // 5)
    totals: Counter[int] = Counter()
    for (_, status), number in fuzzer.statuses.items():
        totals[status] += number
    print(f"\n{json.dumps(totals)}")


def test_no_picture_harms_the_server(fuzzer: Fuzzer, count: int) -> None:
    with fuzzer.unharmed():
        fuzzer.send_pictures(count // 5)


def test_the_largest_bodies_are_refused_at_once(fuzzer: Fuzzer) -> None:
    for case in slow_cases(LARGEST):
        fuzzer.send([case])
