"""Served answers agree with an independent computation in Transformers, token by token."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import photos
from tests.support.agreement import assert_agreement
from tests.support.engine import Engine, engine
from tests.support.oracle import Oracle
from tests.support.oracle_methods import Method
from tests.support.questions import ask
from tests.support.servers import Server

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
PAIRS = [(name, RATIOS[(place + shift) % len(RATIOS)]) for shift in (1, 3) for place, name in enumerate(IMAGES)]
"""Each image with two ratios, and each ratio with at least two images."""
METHODS: list[Method] = ["tome", "visionzip", "divprune", "gprune-nms", "gprune-blend", "scope"]
STAGE, CONTIGUOUS = {"stage": "projector"}, {"stage": "projector", "positions": "contiguous"}


@pytest.fixture(scope="module")
def projector_engine(checkpoint: Path) -> Iterator[Engine]:
    """Original positions behind the projector."""
    with engine(checkpoint, {"GPRUNE_PRUNE_STAGE": "projector"}) as running:
        yield running


@pytest.fixture(scope="module")
def contiguous_engine(checkpoint: Path) -> Iterator[Engine]:
    """The other settings, without any cache: contiguous positions, pruning behind the projector, paper's algorithm."""
    settings = {
        "GPRUNE_PRUNE_STAGE": "projector",
        "GPRUNE_PRUNE_POSITIONS": "contiguous",
        "GPRUNE_PRUNE_TEMPERATURE": "none",
        "GPRUNE_PRUNE_METHODS": ",".join(METHODS),
    }
    with engine(checkpoint, settings, enable_prefix_caching=False, mm_processor_cache_gb=0) as running:
        yield running


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("name", IMAGES)
def test_default_settings_agree_in_chunked_prefill(server: Server, oracle: Oracle, name: str, ratio: float) -> None:
    assert_agreement(server, oracle, IMAGES[name], ratio)


@pytest.mark.parametrize("ratio", [0.5, 0.9])
def test_prefix_cache_hits_agree(server: Server, oracle: Oracle, ratio: float) -> None:
    images = [photos.grace_hopper(), photos.china()]
    first = assert_agreement(server, oracle, images, ratio, LONG_QUESTION)
    again = ask(server, images, ratio, LONG_QUESTION)
    assert again.cached_tokens > 0
    assert again.token_ids == first.token_ids
    followed = LONG_QUESTION + " And what else?"
    assert_agreement(server, oracle, images, ratio, followed)


@pytest.mark.xdist_group("engines")
@pytest.mark.parametrize(("name", "ratio"), PAIRS)
def test_pruning_behind_the_projector_agrees(projector_engine: Engine, oracle: Oracle, name: str, ratio: float) -> None:
    assert_agreement(projector_engine, oracle, IMAGES[name], ratio, **STAGE)


@pytest.mark.xdist_group("engines")
@pytest.mark.parametrize(("name", "ratio"), PAIRS)
def test_contiguous_positions_and_paper_variant_agree(
    contiguous_engine: Engine, oracle: Oracle, name: str, ratio: float
) -> None:
    assert_agreement(contiguous_engine, oracle, IMAGES[name], ratio, **CONTIGUOUS, variant="paper")


@pytest.mark.xdist_group("engines")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", IMAGES)
def test_methods_agree_behind_the_projector(
    contiguous_engine: Engine, oracle: Oracle, name: str, method: Method
) -> None:
    assert_agreement(contiguous_engine, oracle, IMAGES[name], 0.7, **CONTIGUOUS, method=method, variant="paper")
