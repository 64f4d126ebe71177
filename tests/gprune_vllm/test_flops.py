"""The cost of a prefill, held against the paper's figures and against PyTorch's own count."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig

from gprune_vllm.flops import DecoderShape

LLAMA_3_8B = DecoderShape(4096, 14336, 32, 32, 8, 128)
VOCABULARY = 128256


def test_linear_layers_and_head_of_llama_3_cost_what_the_paper_counts() -> None:
    assert LLAMA_3_8B.linear_macs + VOCABULARY * LLAMA_3_8B.hidden_size == pytest.approx(7.505e9, rel=1e-3)


@pytest.mark.parametrize("kept", [1.0, 0.3, 0.1])
def test_the_papers_cost_on_pope_is_linear_in_kept_tokens(kept: float) -> None:
    tower, text, visual = 0.873e12, 110, 2220
    macs = (LLAMA_3_8B.linear_macs + VOCABULARY * LLAMA_3_8B.hidden_size) * (visual * kept + text) + tower
    assert macs == pytest.approx({1.0: 18.3e12, 0.3: 6.69e12, 0.1: 3.37e12}[kept], rel=0.005)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_linear_layers_cost_what_pytorch_counts(kv_heads: int) -> None:
    config = LlamaConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=kv_heads
    )
    config.vocab_size, tokens = 32, 10
    with torch.device("meta"):
        model = LlamaForCausalLM(config).model
    layers = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    counter = FlopCounterMode(display=False)
    with counter:
        for layer in layers:
            layer(torch.empty(tokens, layer.in_features, device="meta"))
    assert counter.get_total_flops() == 2 * tokens * DecoderShape.of(config).linear_macs


def test_attention_sees_each_token_and_those_before_it() -> None:
    one_head = DecoderShape(1, 0, 1, 1, 1, 4)
    linear = 2 * 3 * one_head.linear_macs
    # 1 + 2 + 3 pairs, each a score and a weighted value of 4 channels, each a multiplication and an addition
    assert one_head.prefill_flops(3) - linear == 6 * 2 * 4 * 2


def test_a_shape_is_read_from_any_configuration() -> None:
    config = MistralConfig(hidden_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=32)
    shape = DecoderShape.of(config)
    assert (shape.heads, shape.kv_heads, shape.head_size) == (4, 2, 32)
    assert DecoderShape.of(LlamaConfig(hidden_size=64, num_attention_heads=4)).kv_heads == 4


def test_the_cache_holds_keys_and_values_of_every_layer() -> None:
    assert LLAMA_3_8B.kv_cache_bytes(1, 2) == 128 * 1024  # bfloat16 Llama 3 8B: 128 KiB a token
