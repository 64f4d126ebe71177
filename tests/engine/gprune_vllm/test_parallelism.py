"""Tensor parallelism, data parallelism and several API servers answer as the independent computation does."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import photos, pool
from tests.support.agreement import assert_agreement
from tests.support.oracle import Oracle
from tests.support.oracle_methods import Method
from tests.support.pool import ServerPool
from tests.support.questions import Answer, ask, same
from tests.support.servers import Server

SELECTIONS = 'gprune_selection_seconds_count{method="gprune"}'
KINDS: list[tuple[float, Method]] = [
    (0.0, "gprune"),
    (0.5, "gprune"),
    (0.9, "gprune"),
    (0.7, "visionzip"),
    (0.7, "tome"),
]
REQUESTS = [(image, *kind) for image in range(3) for kind in KINDS]


SERVERS = [
    pytest.param(pool.TENSOR, marks=pytest.mark.xdist_group(pool.TENSOR)),
    # Seven processes, of which each imports vLLM: their start takes minutes on two cores.
    pytest.param(pool.DATA, marks=[pytest.mark.xdist_group(pool.DATA), pytest.mark.nightly]),
]


@pytest.fixture(scope="module", params=SERVERS)
def parallel_server(request: pytest.FixtureRequest, server_pool: ServerPool) -> Server:
    return server_pool.get(request.param)


def test_answers_agree_with_the_oracle_and_do_not_depend_on_who_else_asks(
    parallel_server: Server, oracle: Oracle
) -> None:
    images = photos.photos()
    expected = {
        (image, ratio, method): assert_agreement(parallel_server, oracle, [images[image]], ratio, method=method)
        for image, ratio, method in REQUESTS
    }
    requests = REQUESTS * 2
    random.Random(1).shuffle(requests)

    def answer(request: tuple[int, float, Method]) -> Answer:
        image, ratio, method = request
        return ask(parallel_server, [images[image]], ratio, prune_method=method)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(answer, requests))
    for reply, request in zip(answers, requests, strict=True):
        assert same(reply, expected[request])
        assert reply.visual_tokens == expected[request].visual_tokens


def test_metrics_count_every_request_once(parallel_server: Server) -> None:
    before, selected = parallel_server.total("gprune_requests_total"), parallel_server.metrics().get(SELECTIONS, 0)
    for _ in range(6):
        ask(parallel_server, [photos.china()], 0.5, max_tokens=1)
    assert parallel_server.total("gprune_requests_total") - before == 6
    # Images found in the encoder's cache are not selected from again.
    assert 0 <= parallel_server.metrics()[SELECTIONS] - selected <= 6
