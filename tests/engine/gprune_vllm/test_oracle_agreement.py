"""Served answers agree with an independent computation in Transformers, token by token."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support import photos
from tests.support.oracle import Oracle
from tests.support.questions import QUESTION, ask
from tests.support.servers import STOCK_SERVE, Server, serve

IMAGES = {
    "photo": [photos.china()],
    "wide": [photos.generated(300, 100)],
    "tall": [photos.generated(100, 300)],
    "single crop": [photos.generated(112, 112)],
    "no grid at all": [photos.generated(700, 23)],
    "two photos": [photos.flower(), photos.grace_hopper()],
}
LONG_QUESTION = "What do you see in these two pictures? " * 6
RATIOS = [0.0, 0.3, 0.5, 0.7, 0.9]


@pytest.fixture(scope="module")
def contiguous_server(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The other settings, without any cache: contiguous positions, pruning behind the projector, paper's algorithm."""
    with serve(
        checkpoint,
        tmp_path_factory.mktemp("contiguous") / "server.log",
        *("--prune-positions", "contiguous", "--prune-stage", "projector", "--prune-temperature", "none"),
        *("--prune-methods", "tome,visionzip,divprune"),
        *("--no-enable-prefix-caching", "--mm-processor-cache-gb", "0"),
    ) as running:
        yield running


@pytest.fixture(scope="module")
def stock_started_server(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """vLLM's own start-up with the plugin named, set by environment: original positions behind the projector."""
    with serve(
        checkpoint,
        tmp_path_factory.mktemp("stock-started") / "server.log",
        command=STOCK_SERVE,
        environment={"VLLM_PLUGINS": "gprune", "GPRUNE_PRUNE_STAGE": "projector"},
    ) as running:
        yield running


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("name", IMAGES)
def test_default_settings_agree_in_chunked_prefill(server: Server, oracle: Oracle, name: str, ratio: float) -> None:
    assert_agreement(server, oracle, IMAGES[name], ratio)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("name", IMAGES)
def test_contiguous_positions_and_paper_variant_agree(
    contiguous_server: Server, oracle: Oracle, name: str, ratio: float
) -> None:
    settings = {"positions": "contiguous", "stage": "projector", "variant": "paper"}
    assert_agreement(contiguous_server, oracle, IMAGES[name], ratio, **settings)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("name", IMAGES)
def test_stock_start_with_the_plugin_agrees(
    stock_started_server: Server, oracle: Oracle, name: str, ratio: float
) -> None:
    assert_agreement(stock_started_server, oracle, IMAGES[name], ratio, stage="projector")


@pytest.mark.parametrize("method", ["tome", "visionzip", "divprune"])
@pytest.mark.parametrize("name", IMAGES)
def test_methods_agree_behind_the_projector(contiguous_server: Server, oracle: Oracle, name: str, method: str) -> None:
    answer = ask(contiguous_server, IMAGES[name], 0.7, prune_method=method)
    settings: dict[str, Any] = {"positions": "contiguous", "stage": "projector", "method": method}
    expected = oracle.generate(IMAGES[name], oracle.chat(*IMAGES[name], QUESTION), 0.7, **settings)
    assert answer.token_ids[: len(expected)] == tuple(token for token, _ in expected)
    assert answer.logprobs[: len(expected)] == pytest.approx([logprob for _, logprob in expected], abs=1e-3)


@pytest.mark.parametrize("ratio", [0.5, 0.9])
def test_prefix_cache_hits_agree(server: Server, oracle: Oracle, ratio: float) -> None:
    images = [photos.grace_hopper(), photos.china()]
    first = assert_agreement(server, oracle, images, ratio, LONG_QUESTION)
    again = ask(server, images, ratio, LONG_QUESTION)
    assert again.cached_tokens > 0
    assert again.token_ids == first
    followed = LONG_QUESTION + " And what else?"
    assert_agreement(server, oracle, images, ratio, followed)


def assert_agreement(
    server: Server, oracle: Oracle, images: list[Image.Image], ratio: float, question: str = QUESTION, **settings: Any
) -> tuple[int, ...]:
    answer = ask(server, images, ratio, question)
    expected = oracle.generate(images, oracle.chat(*images, question), ratio, max_new_tokens=16, **settings)
    assert answer.token_ids[: len(expected)] == tuple(token for token, _ in expected)
    assert answer.logprobs[: len(expected)] == pytest.approx([logprob for _, logprob in expected], abs=1e-3)
    return answer.token_ids
