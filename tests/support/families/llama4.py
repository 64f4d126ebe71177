"""Llama 4 under test."""

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import (
    Llama4Config,
    Llama4ForConditionalGeneration,
    Llama4ImageProcessor,
    Llama4Processor,
)

from evaluation.demo.tokenizer import chat_template
from tests.support.families.checkpoint import TEXT, built, save, tokens_with, wrapped
from tests.support.families.crops import CropsOracle

TILE, PATCH, MERGE, MOST_TILES = 112, 14, 2, 4
SIDE = TILE // PATCH // MERGE
"""Tokens along a side of a tile."""
NAMED = (
    "<|image|>",
    "<|image_start|>",
    "<|image_end|>",
    "<|patch|>",
    "<|tile_x_separator|>",
    "<|tile_y_separator|>",
)
TOWER = {
    "hidden_size": 64,
    "intermediate_size": 64 * MERGE**2,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": TILE,
    "patch_size": PATCH,
    "pixel_shuffle_ratio": 1 / MERGE,
    "projector_input_dim": 128,
    "projector_output_dim": 128,
    "vision_output_dim": 128,
}
EXPERTS = {
    "intermediate_size": 96,
    "intermediate_size_mlp": 256,
    "interleave_moe_layer_step": 2,
    "num_local_experts": 4,
}


class Llama4Oracle(CropsOracle):
    """Pruned images of Llama 4."""

    model_class = Llama4ForConditionalGeneration
    place, token = "<|image|>", "<|patch|>"

    @property
    def decoder(self) -> Any:
        return self.model.language_model.model

    @torch.inference_mode()
    def read(self, image: Image.Image) -> tuple[list[tuple[torch.Tensor, torch.Tensor]], str]:
        """Tokens are scored on their four patches before the tower's last norm, without its class token."""
        outputs = self.processor.image_processor([image], return_tensors="pt")
        caught: list[torch.Tensor] = []
        norm = self.model.vision_model.layernorm_post
        handle = norm.register_forward_hook(lambda _, inputs, __: caught.append(inputs[0]))
        states = self.model.vision_model(outputs["pixel_values"].to(self.model.dtype)).last_hidden_state
        handle.remove()
        embeddings = self.model.multi_modal_projector(states.flatten(0, 1)).unflatten(0, states.shape[:2])
        squares = caught[0][:, :-1].unflatten(1, (SIDE, MERGE, SIDE, MERGE)).transpose(2, 3).flatten(3).flatten(1, 2)
        return list(zip(squares, embeddings, strict=True)), self.processor.replace_image_token(outputs, 0)


def write_llama4(folder: Path) -> Path:
    """Write a Llama 4 of a few megabytes into a folder, and return the folder."""
    tokenizer = tokens_with(*NAMED)
    config = Llama4Config(
        architectures=["Llama4ForConditionalGeneration"],
        text_config=TEXT | EXPERTS | {"vocab_size": tokenizer.get_vocab_size()},
        vision_config=TOWER,
        image_token_index=tokenizer.token_to_id("<|patch|>"),
        boi_token_index=tokenizer.token_to_id("<|image_start|>"),
        eoi_token_index=tokenizer.token_to_id("<|image_end|>"),
        tie_word_embeddings=False,
        dtype="float32",
    )
    processor = Llama4Processor(
        Llama4ImageProcessor(size={"height": TILE, "width": TILE}, max_patches=MOST_TILES),
        wrapped(tokenizer),
        patch_size=PATCH,
        chat_template=chat_template("<|image|>"),
    )
    return save(folder, built(Llama4ForConditionalGeneration, config, tokenizer), processor)
