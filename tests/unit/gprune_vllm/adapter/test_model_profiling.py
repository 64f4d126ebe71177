"""How much our model runs through the vision tower at once, held against what vLLM profiles."""

from types import SimpleNamespace
from typing import Any

import pytest
from vllm.config import ModelConfig, VllmConfig
from vllm.engine.arg_utils import EngineArgs
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.encoder_budget import MultiModalBudget

from gprune_vllm.adapter.encoder_budget import tower_limit
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
