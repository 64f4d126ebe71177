"""Other language models and vision towers of LLaVA-NeXT are pruned as the oracle prunes them."""

from collections.abc import Iterator
from typing import get_args

import pytest

from evaluation.demo.checkpoint import LanguageModel, Tower, write_checkpoint
from tests.support import photos
from tests.support.agreement import assert_agreement
from tests.support.engine import Engine, engine
from tests.support.families.llava_next import LlavaNextOracle
from tests.support.oracle import Oracle
from tests.support.oracle_methods import Method

pytestmark = pytest.mark.xdist_group("engines")

VARIANTS: list[tuple[LanguageModel, Tower, bool]] = [("mistral", "siglip", True), ("qwen2", "clip", False)]
"""Language model, tower, and whether it is compiled, where the other engines of the suite run eagerly."""


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda variant: " ".join(variant[:2]))
def variant(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Engine, Oracle]]:
    language_model, tower, compiled = request.param
    folder = tmp_path_factory.mktemp("variant") / "tiny"
    checkpoint = write_checkpoint(folder, language_model=language_model, tower=tower, dtype="float32")
    with engine(checkpoint, {"GPRUNE_PRUNE_METHODS": "all"}, enforce_eager=not compiled) as running:
        yield running, LlavaNextOracle(checkpoint)


@pytest.mark.parametrize("method", get_args(Method))
@pytest.mark.parametrize("ratio", [0.0, 0.5, 0.9])
def test_variant_agrees_with_the_oracle(variant: tuple[Engine, Oracle], ratio: float, method: Method) -> None:
    for images in ([photos.flower()], [photos.grace_hopper(), photos.generated(100, 300)]):
        assert_agreement(*variant, images, ratio, method=method)
