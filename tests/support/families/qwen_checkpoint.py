"""Checkpoints of Qwen-VL under test, of a few megabytes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import (
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLVideoProcessor,
)

from evaluation.demo.tokenizer import QWEN_MEDIA, QWEN_TOKENS, chat_template
from tests.support.families.checkpoint import TEXT, built, save, tokens_with, wrapped

TOKENS_PER_IMAGE = 256
TOWER = {"depth": 3, "num_heads": 2, "spatial_merge_size": 2, "temporal_patch_size": 2, "in_channels": 3}
QWEN2_TOWER = TOWER | {"embed_dim": 64, "hidden_size": 128, "mlp_ratio": 2, "patch_size": 14}
QWEN2_5_TOWER = TOWER | {
    "hidden_size": 64,
    "out_hidden_size": 128,
    "intermediate_size": 128,
    "patch_size": 14,
    "window_size": 56,
    "fullatt_block_indexes": [1],
    "tokens_per_second": 2,
}
QWEN3_TOWER = TOWER | {
    "depth": 4,
    "hidden_size": 64,
    "out_hidden_size": 128,
    "intermediate_size": 128,
    "patch_size": 16,
    "num_position_embeddings": 256,
    "deepstack_visual_indexes": [0, 1, 2],
}
EXPERTS = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 96,
    "decoder_sparse_step": 1,
    "norm_topk_prob": True,
}
LINEAR = {
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_num_key_heads": 1,
    "linear_num_value_heads": 2,
    "linear_conv_kernel_dim": 4,
    "mamba_ssm_dtype": "float32",
    "layer_types": ["linear_attention", "full_attention"] * 2,
}


@dataclass(frozen=True, slots=True)
class Generation:
    """What the models of one generation share.

    Attributes:
        name: of Transformers' classes, without "Config", "Processor" and so on.
        processor: name of the processor's classes.
        tower: configuration of the tower.
        text: what the language model's configuration has beyond `TEXT`.
        rope: parameters of the rotary embedding.
        video_processor: class of the video processor.
        dtype: of the weights.
    """

    name: str
    processor: str
    tower: dict[str, Any]
    text: dict[str, Any]
    rope: dict[str, Any]
    video_processor: type = Qwen3VLVideoProcessor
    dtype: str = "float32"


SECTIONS = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]}
INTERLEAVED = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [6, 5, 5], "mrope_interleaved": True}
PARTIAL = INTERLEAVED | {"mrope_section": [2, 1, 1], "partial_rotary_factor": 0.25}
GENERATIONS = {
    "qwen2_vl": Generation("Qwen2VL", "Qwen2VL", QWEN2_TOWER, {}, SECTIONS, Qwen2VLVideoProcessor),
    "qwen2_5_vl": Generation("Qwen2_5_VL", "Qwen2_5_VL", QWEN2_5_TOWER, {}, SECTIONS, Qwen2VLVideoProcessor),
    "qwen3_vl": Generation("Qwen3VL", "Qwen3VL", QWEN3_TOWER, {}, INTERLEAVED),
    "qwen3_vl_moe": Generation("Qwen3VLMoe", "Qwen3VL", QWEN3_TOWER, EXPERTS, INTERLEAVED),
    "qwen3_5": Generation(
        "Qwen3_5", "Qwen3VL", QWEN3_TOWER | {"deepstack_visual_indexes": []}, LINEAR, PARTIAL, dtype="bfloat16"
    ),
    "qwen3_5_moe": Generation(
        "Qwen3_5Moe",
        "Qwen3VL",
        QWEN3_TOWER | {"deepstack_visual_indexes": []},
        LINEAR | EXPERTS | {"shared_expert_intermediate_size": 64},
        PARTIAL,
        dtype="bfloat16",
    ),
}


def write_qwen(name: str, folder: Path) -> Path:
    """Write a Qwen-VL of a few megabytes, one of `GENERATIONS`, into a folder, and return the folder."""
    generation = GENERATIONS[name]
    tokenizer = tokens_with(*QWEN_TOKENS)
    model_class = getattr(transformers, f"{generation.name}ForConditionalGeneration")
    model = built(model_class, _config(generation, tokenizer), tokenizer).to(getattr(torch, generation.dtype))
    save(folder, model, _processor(generation, tokenizer))
    if generation.name == "Qwen3VLMoe":
        _transpose_experts(folder / "model.safetensors")
    return folder


def _config(generation: Generation, tokenizer: Tokenizer) -> Any:
    ids = {name: tokenizer.token_to_id(token) for name, token in zip(_ID_NAMES, QWEN_TOKENS, strict=True)}
    text = TEXT | generation.text | {"vocab_size": tokenizer.get_vocab_size(), "rope_parameters": generation.rope}
    return getattr(transformers, f"{generation.name}Config")(
        architectures=[f"{generation.name}ForConditionalGeneration"],
        text_config=text,
        vision_config=generation.tower,
        tie_word_embeddings=False,
        dtype=generation.dtype,
        **ids,
    )


_ID_NAMES = ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id")


def _processor(generation: Generation, tokenizer: Tokenizer) -> Any:
    side = generation.tower["patch_size"]
    size = {"shortest_edge": (2 * side) ** 2, "longest_edge": (2 * side) ** 2 * TOKENS_PER_IMAGE}
    shape = {"patch_size": side, "merge_size": 2, "temporal_patch_size": 2, "size": size}
    shape |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}  # vLLM normalises videos as it does images
    return getattr(transformers, f"{generation.processor}Processor")(
        Qwen2VLImageProcessor(**shape),
        wrapped(tokenizer),
        generation.video_processor(**shape),
        chat_template=chat_template(**QWEN_MEDIA),
    )


def _transpose_experts(file: Path) -> None:
    """Store experts as published checkpoints do, which Transformers undoes where it loads them."""
    weights = load_file(file)
    experts = {name: weight.transpose(1, 2).contiguous() for name, weight in weights.items() if ".experts." in name}
    save_file(weights | experts, file, metadata={"format": "pt"})
