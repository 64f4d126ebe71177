"""Whatever is sent, the server answers without a 5xx, and answers a plain question afterwards as before.

The nightly tests send thousands of requests.
"""

import re
from collections.abc import Iterator

import pytest

from tests.support.fuzzing.fuzzer import Fuzzer
from tests.support.fuzzing.slow import slow_cases
from tests.support.fuzzing.sweep import sweep
from tests.support.servers import Server

LONG = 2_000_000  # bytes


@pytest.fixture(scope="module")
def fuzzer(server: Server) -> Iterator[Fuzzer]:
    with Fuzzer(server) as opened:
        yield opened


def test_no_field_with_a_wrong_value_harms_the_server(fuzzer: Fuzzer) -> None:
    with fuzzer.unharmed():
        fuzzer.send(sweep())
    assert {status for _, status in fuzzer.statuses} >= {200, 400}


def test_no_request_harms_the_server(fuzzer: Fuzzer) -> None:
    with fuzzer.unharmed():
        fuzzer.send_requests(100)


def test_no_picture_harms_the_server(fuzzer: Fuzzer) -> None:
    with fuzzer.unharmed():
        fuzzer.send_pictures(40)


def test_no_body_is_refused_the_slower_the_longer_it_is(fuzzer: Fuzzer) -> None:
    with fuzzer.unharmed():
        for case, answer in fuzzer.answers(slow_cases(LONG)):
            assert 400 <= answer.status_code < 500, case
            told = re.match(r"(\d+) validation errors", answer.json()["error"]["message"])
            assert told is None or int(told[1]) < 50, case
            assert len(answer.content) < 4000, case
