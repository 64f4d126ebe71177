"""The fuzz test with thousands of requests, which are others each time."""

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.fuzzing.fuzzer import Fuzzer
from tests.support.servers import Server


@pytest.fixture(scope="module")
def fuzzer(server: Server) -> Iterator[Fuzzer]:
    with Fuzzer(server, fresh=True) as opened:
        yield opened


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
