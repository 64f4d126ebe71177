"""GLM-4.1V under test."""

from pathlib import Path

import torch
from transformers import (
    Glm4vConfig,
    Glm4vForConditionalGeneration,
    Glm4vImageProcessor,
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
ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3], "partial_rotary_factor": 0.5}


class Glm4vOracle(QwenOracle):
    """Greedy generation of GLM-4.1V with pruned images."""

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
    tokenizer = tokens_with(*NAMES.values())
    config = Glm4vConfig(
        architectures=["Glm4vForConditionalGeneration"],
        text_config=TEXT | {"vocab_size": tokenizer.get_vocab_size(), "rope_parameters": ROPE},
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
    return save(folder, built(Glm4vForConditionalGeneration, config, tokenizer), processor)
