"""Adapters of the language model, of the tower and of the projector work on pruned images."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from vllm.lora.request import LoRARequest

from tests.support import photos
from tests.support.agreement import NOISE
from tests.support.engine import Engine, engine
from tests.support.families import FamilyUnderTest
from tests.support.oracle import Oracle
from tests.support.questions import QUESTION

pytestmark = pytest.mark.xdist_group("engines")

RANK, ALPHA = 4, 8
IMAGES = [photos.china(), photos.generated(100, 300)]


@pytest.fixture(scope="module")
def adapted(family: FamilyUnderTest, model: Path) -> tuple[Oracle, dict[str, torch.Tensor]]:
    """The oracle with an adapter merged into its weights, and the adapter as PEFT saves it."""
    if not family.adapted:
        pytest.skip("no adapter for this family")
    oracle, adapter = family.oracle(model), {}
    generator = torch.Generator().manual_seed(0)
    for name, published in family.adapted.items():
        weight = oracle.model.get_parameter(f"{name}.weight")
        down = torch.randn(RANK, weight.shape[1], generator=generator) * 0.1
        up = torch.randn(weight.shape[0], RANK, generator=generator) * 0.1
        weight.data += ALPHA / RANK * up @ down
        adapter |= {
            f"base_model.model.{published}.lora_A.weight": down,
            f"base_model.model.{published}.lora_B.weight": up,
        }
    return oracle, adapter


@pytest.fixture(scope="module")
def adapter(
    adapted: tuple[Oracle, dict[str, torch.Tensor]], family: FamilyUnderTest, tmp_path_factory: pytest.TempPathFactory
) -> LoRARequest:
    """The adapter in a folder, as a request names it."""
    folder = tmp_path_factory.mktemp("adapter")
    targets = sorted({name.rpartition(".")[2] for name in family.adapted})
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": targets, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(adapted[1], folder / "adapter_model.safetensors")
    return LoRARequest("adapter", 1, str(folder))


@pytest.fixture(scope="module")
def adapter_engine(adapted: object, model: Path) -> Iterator[Engine]:
    with engine(model, enable_lora=True, enable_tower_connector_lora=True, max_lora_rank=8) as running:
        yield running


@pytest.mark.parametrize("ratio", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("images", [IMAGES[:1], IMAGES], ids=["one image", "two images"])
def test_adapter_equals_merged_weights(
    adapter_engine: Engine,
    adapter: LoRARequest,
    adapted: tuple[Oracle, dict[str, torch.Tensor]],
    images: list[Image.Image],
    ratio: float,
) -> None:
    oracle, _ = adapted
    answer = adapter_engine.ask(images, ratio, lora_request=adapter)
    expected = oracle.generate(images, oracle.chat(*images, QUESTION), ratio)
    assert answer.token_ids[: len(expected)] == tuple(token for token, _ in expected)
    assert answer.logprobs[: len(expected)] == pytest.approx([logprob for _, logprob in expected], abs=NOISE)
    assert answer.token_ids != adapter_engine.ask(images, ratio).token_ids
