"""How much our model runs through the vision tower at once, held against what vLLM profiles."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from vllm.config import ModelConfig, VllmConfig
from vllm.engine.arg_utils import EngineArgs
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.encoder_budget import MultiModalBudget

from gprune_vllm.adapter.encoder_budget import largest_plans, tower_limit
from gprune_vllm.families.anyres import largest_plan
from tests.unit.gprune_vllm.processing import DEMO

LARGEST = largest_plan(DEMO.pinpoints, DEMO.crop_size, DEMO.patch_size)


def engine_of(model_config: ModelConfig, **arguments: Any) -> VllmConfig:
    return EngineArgs(model_config.model, enforce_eager=True, **arguments).create_engine_config()


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_num_batched_tokens": 128, "max_num_seqs": 8},
        {"max_num_batched_tokens": LARGEST.input - 1, "max_num_seqs": 8},
        {"max_num_batched_tokens": 3 * LARGEST.input, "max_num_seqs": 8},
        {"max_num_batched_tokens": 8192, "max_num_seqs": 64},
        {"max_num_batched_tokens": 8192, "max_num_seqs": 1},
    ],
)
def test_the_tower_runs_as_many_crops_as_vllm_profiles(model_config: ModelConfig, arguments: dict[str, Any]) -> None:
    engine = engine_of(model_config, **arguments)
    profiled = MultiModalBudget(engine, MULTIMODAL_REGISTRY).get_dummy_encoder_profile_inputs()
    assert tower_limit(engine) == sum(len(item["pixel_values"].data) for _, item in profiled)


@pytest.mark.parametrize("enabled", [True, False])
def test_adapters_on_the_tower_forbid_splitting_a_call(model_config: ModelConfig, enabled: bool) -> None:
    engine: Any = engine_of(model_config, max_num_batched_tokens=512, max_num_seqs=8)
    engine.lora_config = SimpleNamespace(enable_tower_connector_lora=enabled)
    assert (tower_limit(engine) > 10**9) == enabled


ONLY_IMAGES, ONLY_VIDEOS = {"image": 2, "video": 0}, {"image": 0, "video": 1}


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize("limits", [{}, ONLY_IMAGES, ONLY_VIDEOS], ids=["both", "images", "videos"])
@pytest.mark.parametrize("tokens", [600, 4096])
def test_qwens_tower_sees_as_many_patches_as_vllm_profiles(
    family_config: Callable[[str], ModelConfig], name: str, limits: dict[str, int], tokens: int
) -> None:
    config = family_config(name)
    engine = engine_of(config, max_num_batched_tokens=tokens, max_num_seqs=8, limit_mm_per_prompt=limits)
    profiled = MultiModalBudget(engine, MULTIMODAL_REGISTRY).get_dummy_encoder_profile_inputs()
    grids = [item[f"{modality}_grid_thw"].data for modality, item in profiled]
    assert tower_limit(engine) == sum(int(grid.prod()) for grid in grids)
    assert set(largest_plans(engine)) == {modality for modality in ("image", "video") if limits.get(modality, 1)}
