"""What a prompt costs in the language model, held against PyTorch's own count."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig

from gprune_vllm.decoder_shape import DecoderShape

LLAMA_3_8B = DecoderShape(4096, 14336, layers=32, heads=32, kv_heads=8, head_size=128)


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
    with counter, torch.no_grad():
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
