"""GLM-4.1V and GLM-4.5V under test."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    Glm4vConfig,
    Glm4vForConditionalGeneration,
    Glm4vImageProcessor,
    Glm4vMoeConfig,
    Glm4vMoeForConditionalGeneration,
    Glm4vProcessor,
    Glm4vVideoProcessor,
)

from evaluation.demo.tokenizer import chat_template
from tests.support.families.checkpoint import TEXT, built, save, tokens_with, wrapped
from tests.support.families.qwen_checkpoint import TOKENS_PER_IMAGE
from tests.support.families.qwen_vl import QwenOracle
from tests.support.oracle_methods import THRESHOLD

NAMES = {
    "image_start_token_id": "<|begin_of_image|>",
    "image_end_token_id": "<|end_of_image|>",
    "video_start_token_id": "<|begin_of_video|>",
    "video_end_token_id": "<|end_of_video|>",
    "image_token_id": "<|image|>",
    "video_token_id": "<|video|>",
}
TOWER = {
    "depth": 3,
    "hidden_size": 64,
    "num_heads": 2,
    "image_size": 112,
    "patch_size": 14,
    "out_hidden_size": 128,
    "intermediate_size": 128,
}
EXPERTS = {
    "first_k_dense_replace": 1,
    "moe_intermediate_size": 96,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "use_qk_norm": False,  # vLLM asks for it, Transformers has no default
}
ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3], "partial_rotary_factor": 0.5}


class Glm4vOracle(QwenOracle):
    """Greedy generation of GLM-4.1V and GLM-4.5V with pruned images."""

    takes_videos = False
    threshold = THRESHOLD

    def _read(self, pixels: torch.Tensor, grid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        tower, caught = self.model.model.visual, []
        handle = tower.merger.register_forward_hook(lambda _, inputs, __: caught.append(inputs[0]))
        output = tower(pixels.to(tower.dtype), grid_thw=grid[None], return_dict=True)
        handle.remove()
        return caught[0], output.pooler_output


def write_glm4v(folder: Path) -> Path:
    """Write a GLM-4.1V of a few megabytes into a folder, and return the folder."""
    return _write(folder, Glm4vConfig, Glm4vForConditionalGeneration, TEXT)


def write_glm4v_moe(folder: Path) -> Path:
    """Write a GLM-4.5V of a few megabytes, a mixture of experts, into a folder, and return the folder."""
    return _write(folder, Glm4vMoeConfig, Glm4vMoeForConditionalGeneration, TEXT | EXPERTS)


def _write(folder: Path, config_class: Any, model_class: Any, text: dict[str, Any]) -> Path:
    tokenizer = tokens_with(*NAMES.values())
    config = config_class(
        architectures=[model_class.__name__],
        text_config=text | {"vocab_size": tokenizer.get_vocab_size(), "rope_parameters": ROPE},
        vision_config=TOWER,
        tie_word_embeddings=False,
        dtype="float32",
        **{name: tokenizer.token_to_id(token) for name, token in NAMES.items()},
    )
    size = {"shortest_edge": 2 * 28**2, "longest_edge": 2 * 28**2 * TOKENS_PER_IMAGE}  # counts both frames of a pair
    processor = Glm4vProcessor(
        Glm4vImageProcessor(size=size),
        wrapped(tokenizer),
        Glm4vVideoProcessor(size=size),
        chat_template=chat_template("<|begin_of_image|><|image|><|end_of_image|>"),
    )
    return save(folder, built(model_class, config, tokenizer), processor)
