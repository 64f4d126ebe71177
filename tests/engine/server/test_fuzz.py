"""Whatever is sent, the server answers without a 5xx, and answers a plain question afterwards as before.

The nightly tests send thousands of requests.
"""

from collections.abc import Iterator

import pytest

from tests.support.fuzzing.fuzzer import Fuzzer
from tests.support.fuzzing.sweep import sweep
from tests.support.servers import Server


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
