"""Adapters of the language model, of the tower and of the projector work on pruned images."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from vllm.lora.request import LoRARequest

from tests.support import photos
from tests.support.adapter import ALPHA, RANK, Factors, random_factors, write_adapter
from tests.support.agreement import NOISE
from tests.support.engine import Engine, engine
from tests.support.families import FamilyUnderTest
from tests.support.oracle import Oracle
from tests.support.questions import QUESTION

pytestmark = pytest.mark.xdist_group("engines")

IMAGES = [photos.china(), photos.generated(100, 300)]


@pytest.fixture(scope="module")
def adapted(family: FamilyUnderTest, model: Path) -> tuple[Oracle, dict[str, Factors]]:
    """The oracle with an adapter merged into its weights, and the adapter by the published names of its modules."""
    if not family.adapted:
        pytest.skip("no adapter for this family")
    oracle, adapter = family.oracle(model), {}
    generator = torch.Generator().manual_seed(0)
    for name, published in family.adapted.items():
        weight = oracle.model.get_parameter(f"{name}.weight")
        down, up = adapter[published] = random_factors(*weight.shape, generator)
        weight.data += ALPHA / RANK * up @ down
    return oracle, adapter


@pytest.fixture(scope="module")
def adapter(adapted: tuple[Oracle, dict[str, Factors]], tmp_path_factory: pytest.TempPathFactory) -> LoRARequest:
    """The adapter in a folder, as a request names it."""
    return LoRARequest("adapter", 1, str(write_adapter(tmp_path_factory.mktemp("adapter"), adapted[1])))


@pytest.fixture(scope="module")
def adapter_engine(adapted: object, model: Path) -> Iterator[Engine]:
    with engine(model, enable_lora=True, enable_tower_connector_lora=True, max_lora_rank=8) as running:
        yield running


@pytest.mark.parametrize("ratio", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("images", [IMAGES[:1], IMAGES], ids=["one image", "two images"])
def test_adapter_equals_merged_weights(
    adapter_engine: Engine,
    adapter: LoRARequest,
    adapted: tuple[Oracle, dict[str, Factors]],
    images: list[Image.Image],
    ratio: float,
) -> None:
    oracle, _ = adapted
    answer = adapter_engine.ask(images, ratio, lora_request=adapter)
    expected = oracle.generate(images, oracle.chat(*images, QUESTION), ratio)
    assert answer.token_ids[: len(expected)] == tuple(token for token, _ in expected)
    assert answer.logprobs[: len(expected)] == pytest.approx([logprob for _, logprob in expected], abs=NOISE)
    assert answer.token_ids != adapter_engine.ask(images, ratio).token_ids
