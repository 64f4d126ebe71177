"""What a prompt costs, held against the paper's figures and against PyTorch's own count."""

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPVisionConfig, CLIPVisionModel, LlavaNextConfig, SiglipVisionConfig

from evaluation.flops import LLAVA_NEXT_8B, ModelShape, TowerShape


def counted(module: Any, *inputs: Any, **options: Any) -> int:
    """Floating-point operations that PyTorch counts in a call."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        module(*inputs, **options)
    return int(counter.get_total_flops())


@pytest.mark.parametrize(("pruned", "published"), [(0.0, 18.3e12), (0.7, 6.69e12), (0.9, 3.37e12)])
def test_the_papers_curve_is_reproduced(pruned: float, published: float) -> None:
    assert LLAVA_NEXT_8B.paper_macs(2220 * (1 - pruned), 110, 5) == pytest.approx(published, rel=0.01)


def test_the_papers_count_is_linear_in_the_tokens_kept() -> None:
    costs = [LLAVA_NEXT_8B.paper_macs(visual, 110, 5) for visual in (0, 1000, 2000)]
    assert costs[2] - costs[1] == costs[1] - costs[0] > 0


def test_linear_layers_and_head_of_llama_3_cost_what_the_paper_counts() -> None:
    assert LLAVA_NEXT_8B.decoder.linear_macs + LLAVA_NEXT_8B.head_macs == pytest.approx(7.505e9, rel=1e-3)


def test_five_crops_cost_the_tower_what_the_paper_counts() -> None:
    assert 5 * LLAVA_NEXT_8B.tower.linear_macs(24) == pytest.approx(0.873e12, rel=1e-3)


def test_shape_of_llava_next_8b_is_that_of_its_configuration() -> None:
    config = LlavaNextConfig(
        vision_config={
            "model_type": "clip_vision_model",
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "image_size": 336,
            "patch_size": 14,
        },
        text_config={
            "model_type": "llama",
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "vocab_size": 128256,
        },
    )
    assert ModelShape.of(config) == LLAVA_NEXT_8B


def test_a_tower_costs_what_pytorch_counts_of_the_layers_that_run() -> None:
    config = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=56,
        patch_size=14,
        attn_implementation="eager",
    )
    shape = TowerShape.of(config, -2)
    assert (shape.layers_run, shape.patches, shape.tokens) == (2, 16, 17)
    config.num_hidden_layers = shape.layers_run
    with torch.device("meta"):
        tower = CLIPVisionModel(config)
        pixels = torch.empty(1, 3, 56, 56)
    assert counted(tower, pixels) == shape.flops


def test_a_siglip_tower_has_no_class_token() -> None:
    shape = TowerShape.of(SiglipVisionConfig(image_size=56, patch_size=14), -1)
    assert shape.tokens == shape.patches == 16
    assert shape.layers_run == shape.layers


def test_several_feature_layers_run_up_to_the_last_and_widen_the_projector() -> None:
    one, two = (LlavaNextConfig(vision_feature_layer=layers) for layers in (-2, [3, -2]))
    assert ModelShape.of(two).tower.layers_run == ModelShape.of(one).tower.layers_run
    wider = ModelShape.of(two).projector_macs - ModelShape.of(one).projector_macs
    assert wider == one.vision_config.hidden_size * one.text_config.hidden_size


def test_true_flops_are_those_of_the_parts() -> None:
    shape = LLAVA_NEXT_8B
    whole = shape.true_flops(visual=100, other=10, crops=3, newlines=4)
    projector, head = 2 * 96 * shape.projector_macs, 2 * shape.head_macs
    assert whole == 3 * shape.tower.flops + projector + shape.decoder.prefill_flops(110) + head
