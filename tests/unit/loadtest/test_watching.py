"""A server is watched for as long as it is asked to be, by metrics of these names and no others."""

import asyncio
from collections.abc import Iterator
from itertools import count
from threading import Thread
from wsgiref.simple_server import WSGIRequestHandler, make_server

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, Gauge

from loadtest.target import Target
from loadtest.watching import samples, watched

METRICS = """\
# TYPE waiting gauge
waiting{engine="0"} 3.0
waiting{engine="1"} 2.0
# TYPE waiting_by_reason gauge
waiting_by_reason{reason="capacity"} 5.0
# TYPE answered counter
answered_total 7.0
"""


def test_samples_are_found_by_their_whole_name() -> None:
    assert [sample.value for sample in samples(METRICS, "waiting")] == [3, 2]
    assert [sample.labels for sample in samples(METRICS, "waiting")] == [{"engine": "0"}, {"engine": "1"}]
    assert [sample.value for sample in samples(METRICS, "answered_total", "waiting_by_reason")] == [5, 7]
    assert samples(METRICS, "absent") == samples("", "waiting") == []


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """A server whose gauge counts how often it was looked at."""
    looks, registry = count(), CollectorRegistry()
    Gauge("looks", "looks so far", registry=registry).set_function(lambda: next(looks))
    with make_server("127.0.0.1", 0, prometheus_client.make_wsgi_app(registry), handler_class=Quiet) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def looks_in(text: str) -> list[float]:
    return [sample.value for sample in samples(text, "looks")]


def test_a_server_is_looked_at_again_and_again_until_the_end(url: str) -> None:
    async def watch() -> tuple[list[float], int]:
        async with Target(url) as target:
            async with watched(target, looks_in, 0.01) as seen:
                while len(seen) < 5:
                    await asyncio.sleep(0.01)
            so_far = len(seen)
            await asyncio.sleep(0.1)
        return seen, so_far

    seen, so_far = asyncio.run(watch())
    assert seen == list(range(so_far))


def test_a_server_that_does_not_answer_is_looked_at_in_vain() -> None:
    async def watch() -> list[str]:
        async with Target("http://127.0.0.1:9") as target, watched(target, lambda text: [text], 0.01) as seen:
            await asyncio.sleep(0.1)
        return seen

    assert asyncio.run(watch()) == []
