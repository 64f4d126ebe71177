"""LLaVA-OneVision under test."""

from pathlib import Path

import torch
from transformers import (
    GenerationConfig,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
)
from transformers.models.llava_onevision.modeling_llava_onevision import image_size_to_num_patches

from evaluation.demo.checkpoint import (
    PATCH,
    CheckpointOptions,
    random_weights,
    text_config,
    vision_config,
    wrapped,
    write_weights,
)
from evaluation.demo.tokenizer import BEGIN, END, IMAGE, PAD, chat_template
from evaluation.scenes.scene import CROP
from tests.support.families.checkpoint import tokens_with
from tests.support.oracle import Amount, Oracle, PrunedImage, Stage
from tests.support.oracle_methods import Group, Method, Variant, keep, shares

SHAPES = ((1, 1), (1, 2), (2, 1), (2, 3), (3, 2), (4, 4), (1, 3), (3, 1))
GRIDS = [[CROP * rows, CROP * columns] for rows, columns in SHAPES]
"""The grid of a photo in 4 x 4 crops is resized, to no more tokens than vLLM profiles."""
SIDE = CROP // PATCH


class LlavaOneVisionOracle(Oracle):
    """Pruned images of LLaVA-OneVision. Transformers' own code lays out what the projector reads and what it makes."""

    model_class = LlavaOnevisionForConditionalGeneration

    def prune_one(
        self, pixels: torch.Tensor, size: list[int], amount: Amount, stage: Stage, how: tuple[Method, Variant]
    ) -> PrunedImage:
        crops = image_size_to_num_patches(size, self.config.image_grid_pinpoints, CROP)
        features = self.model.model.vision_tower(pixels[:crops], output_hidden_states=True).hidden_states[-1]
        embeddings = self.model.model.multi_modal_projector(features)
        rows = self._packed(embeddings, size, self.model.model.image_newline)
        scored = self._packed(features, size, features.new_zeros(features.shape[-1])) if stage == "vision" else rows
        patches = self._packed(torch.ones(crops, SIDE**2, 1), size, torch.zeros(1)).flatten().bool()
        places = patches.nonzero().flatten()
        groups, kept = places.split([SIDE**2, len(places) - SIDE**2]), []
        for group, count in zip(groups, shares(*map(len, groups), *amount), strict=True):
            of_group = rows if how[0] == "tome" else scored
            index, merged = keep(Group(of_group[group], scored[group], scored[group]), count, *how)
            kept.append((index, group[index], merged if how[0] == "tome" else rows[group[index]]))
        newlines = (~patches).nonzero().flatten()
        offsets = torch.cat([*(where for _, where, _ in kept), newlines])
        order = offsets.argsort()
        stays = torch.cat([*(found for _, _, found in kept), rows[newlines]])[order]
        return PrunedImage(tuple(index for index, _, _ in kept), stays, offsets[order], len(rows))

    def _packed(self, values: torch.Tensor, size: list[int], newline: torch.Tensor) -> torch.Tensor:
        packed, _ = self.model.model.pack_image_features([values], torch.tensor([size]), image_newline=newline)
        rows: torch.Tensor = packed[0]
        return rows


def write_llava_onevision(folder: Path) -> Path:
    """Write a LLaVA-OneVision of a few megabytes, shaped like the published checkpoints of llava-hf."""
    folder.mkdir(parents=True)
    tokenizer, options = tokens_with("<video>"), CheckpointOptions(language_model="qwen2", tower="siglip")
    config = LlavaOnevisionConfig(
        architectures=["LlavaOnevisionForConditionalGeneration"],
        text_config=text_config(options, tokenizer.get_vocab_size()),
        vision_config=vision_config(options),
        image_token_index=IMAGE,
        video_token_index=tokenizer.token_to_id("<video>"),
        image_grid_pinpoints=GRIDS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        dtype="float32",
    )
    config.save_pretrained(folder)
    GenerationConfig(pad_token_id=PAD, bos_token_id=BEGIN, eos_token_id=END).save_pretrained(folder)
    size = {"height": CROP, "width": CROP}
    LlavaOnevisionProcessor(
        LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=GRIDS),
        wrapped(tokenizer, options.max_position_embeddings),
        LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=SIDE**2,
        vision_feature_select_strategy="full",
        chat_template=chat_template(),
    ).save_pretrained(folder)
    weights = random_weights(config, tokenizer, options.seed, LlavaOnevisionForConditionalGeneration)
    write_weights(folder / "model.safetensors", weights, "float32")
    return folder
