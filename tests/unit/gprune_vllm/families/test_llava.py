"""LLaVA-1.5: counts held against vLLM's and Transformers' own, and which towers are refused."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from transformers import CLIPImageProcessor, LlavaConfig, LlavaProcessor
from vllm.model_executor.models.llava import LlavaProcessingInfo
from vllm.multimodal.processing.context import InputProcessingContext

from gprune_vllm.families.llava import Llava
from gprune_vllm.plan import MediaSize, PruneSpec
from tests.unit.gprune_vllm.support import Size, ratios, sizes

FAMILY = Llava()
TOWERS = {"clip": (336, 14, "default"), "siglip": (384, 14, "full"), "demo": (112, 14, "default")}


def config_of(name: str) -> LlavaConfig:
    image_size, patch_size, strategy = TOWERS[name]
    tower = "siglip" if name == "siglip" else "clip"
    vision = {"model_type": f"{tower}_vision_model", "image_size": image_size, "patch_size": patch_size}
    return LlavaConfig(
        vision_config=vision, text_config={"model_type": "llama"}, vision_feature_select_strategy=strategy
    )


CONFIGS = {name: config_of(name) for name in TOWERS}


def info_of(name: str) -> LlavaProcessingInfo:
    model_config: Any = SimpleNamespace(hf_config=CONFIGS[name])
    return LlavaProcessingInfo(InputProcessingContext(model_config, tokenizer=None))


def processor_of(name: str) -> LlavaProcessor:
    """Transformers' processor, with what it counts by and without a tokenizer."""
    image_size, patch_size, strategy = TOWERS[name]
    crop = {"height": image_size, "width": image_size}
    processor = object.__new__(LlavaProcessor)
    processor.image_processor = CLIPImageProcessor(size={"shortest_edge": image_size}, crop_size=crop)
    processor.patch_size, processor.vision_feature_select_strategy = patch_size, strategy
    processor.num_additional_image_tokens = int(strategy == "default")
    return processor


INFOS = {name: info_of(name) for name in TOWERS}
PROCESSORS = {name: processor_of(name) for name in TOWERS}


@pytest.mark.parametrize("name", TOWERS)
@settings(max_examples=500)
@given(size=sizes)
def test_any_image_counts_as_upstream_counts_it(name: str, size: Size) -> None:
    height, width = size
    plan = FAMILY.plan(CONFIGS[name], MediaSize(*size), PruneSpec())
    assert plan.input == plan.span == INFOS[name].get_num_image_tokens(image_width=width, image_height=height)
    (counted,) = PROCESSORS[name]._get_num_multimodal_tokens([size]).num_image_tokens
    assert plan.input == counted
    assert FAMILY.largest(SimpleNamespace(config=CONFIGS[name]), "image") == plan


@pytest.mark.parametrize("name", TOWERS)
@given(ratio=ratios)
def test_one_group_covers_the_image(name: str, ratio: float) -> None:
    plan = FAMILY.plan(CONFIGS[name], MediaSize(100, 200), PruneSpec(ratio))
    (group,) = plan.groups
    assert group.rows == group.columns
    assert plan.kept == group.kept == PruneSpec(ratio).count_kept(group.tokens)
    assert (plan.structural, plan.units) == (0, 1)
    layout = FAMILY.layout(plan)
    assert layout.groups[0].tolist() == list(range(plan.input))
    assert len(layout.structural) == 0
    values = torch.randn(plan.input, 3)
    assert torch.equal(*FAMILY.split(values, plan), values)


@pytest.mark.parametrize("name", TOWERS)
def test_known_towers_are_served(name: str) -> None:
    FAMILY.check(CONFIGS[name])


@pytest.mark.parametrize(("tower", "strategy"), [("clip", "full"), ("siglip", "default")])
def test_a_strategy_that_does_not_leave_a_token_a_patch_is_refused(tower: str, strategy: str) -> None:
    config = config_of(tower)
    config.vision_feature_select_strategy = strategy
    with pytest.raises(ValueError, match=r"Start with --hf-overrides '\{\"vision_feature_select_strategy\": "):
        FAMILY.check(config)


def test_pixtral_is_refused_with_the_way_out() -> None:
    config = LlavaConfig(vision_config={"model_type": "pixtral"}, text_config={"model_type": "mistral"})
    with pytest.raises(ValueError, match=r"'pixtral' is not supported: .*Leave gprune out of VLLM_PLUGINS"):
        FAMILY.check(config)
