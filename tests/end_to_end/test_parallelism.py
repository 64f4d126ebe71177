"""Tensor parallelism, data parallelism and several API servers answer as one process does."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import photos
from tests.questions import ask, same
from tests.servers import Server, serve

PARALLELISM = {
    "tensor": ("--tensor-parallel-size", "2"),
    "data": ("--data-parallel-size", "2", "--api-server-count", "2"),
}
SELECTIONS = 'gprune_selection_seconds_count{method="gprune"}'
REQUESTS = [(image, ratio) for image in range(3) for ratio in (0.0, 0.5, 0.9)]


@pytest.fixture(scope="module", params=PARALLELISM)
def parallel_server(
    request: pytest.FixtureRequest, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("parallel") / "server.log"
    # vLLM would bind each worker to a NUMA node of its own; small machines have one.
    with serve(
        checkpoint, log, *PARALLELISM[request.param], environment={"VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    ) as running:
        yield running


def test_answers_equal_those_of_one_process(server: Server, parallel_server: Server) -> None:
    requests = REQUESTS * 3
    random.Random(1).shuffle(requests)
    images = photos.photos()
    expected = {(image, ratio): ask(server, [images[image]], ratio, max_tokens=8) for image, ratio in REQUESTS}
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(lambda item: ask(parallel_server, [images[item[0]]], item[1], max_tokens=8), requests)
        )
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
