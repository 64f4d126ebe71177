"""Tensor parallelism, data parallelism and several API servers answer as one process does."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import photos
from tests.support.questions import Answer, ask, same
from tests.support.servers import Server, serve

PARALLELISM = {
    "tensor": ("--tensor-parallel-size", "2"),
    "data": ("--data-parallel-size", "2", "--api-server-count", "2"),
}
SELECTIONS = 'gprune_selection_seconds_count{method="gprune"}'
KINDS = [(0.0, "gprune"), (0.5, "gprune"), (0.9, "gprune"), (0.7, "visionzip"), (0.7, "tome")]
REQUESTS = [(image, *kind) for image in range(3) for kind in KINDS]


@pytest.fixture(scope="module", params=PARALLELISM)
def parallel_server(
    request: pytest.FixtureRequest, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("parallel") / "server.log"
    with serve(
        checkpoint,
        log,
        *PARALLELISM[request.param],
        *("--prune-methods", "visionzip,tome"),
    ) as running:
        yield running


def test_answers_equal_those_of_one_process(server: Server, parallel_server: Server) -> None:
    requests = REQUESTS * 2
    random.Random(1).shuffle(requests)
    images = photos.photos()

    def answer(asked: Server, request: tuple[int, float, str]) -> Answer:
        image, ratio, method = request
        return ask(asked, [images[image]], ratio, max_tokens=8, prune_method=method)

    expected = {request: answer(server, request) for request in REQUESTS}
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda request: answer(parallel_server, request), requests))
    assert all(same(answer, expected[request]) for answer, request in zip(answers, requests, strict=True))
    assert all(
        answer.visual_tokens == expected[request].visual_tokens
        for answer, request in zip(answers, requests, strict=True)
    )


def test_metrics_count_every_request_once(parallel_server: Server) -> None:
    before = parallel_server.metrics()
    for _ in range(6):
        ask(parallel_server, [photos.china()], 0.5, max_tokens=1)
    after = parallel_server.metrics()
    assert requests(after) - requests(before) == 6
    assert (
        after[SELECTIONS] - before.get(SELECTIONS, 0) <= 6
    )  # images found in the encoder's cache are not selected from again
    assert after[SELECTIONS] > 0


def requests(samples: dict[str, float]) -> float:
    return sum(value for name, value in samples.items() if name.startswith("gprune_requests_total"))
