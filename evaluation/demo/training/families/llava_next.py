"""The LLaVA-NeXT demo model."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import LlavaNextForConditionalGeneration, PreTrainedModel

from evaluation.demo.checkpoint import (
    PATCH,
    CheckpointOptions,
    Size,
    build_config,
    build_processor,
    published_name,
    write_model,
)
from evaluation.demo.tokenizer import build_tokenizer
from evaluation.demo.training.families.family import Family, Pixels, Visual
from evaluation.demo.training.labels import View
from evaluation.scenes.scene import CROP, Scene, margins

DEMO = Size(tower_hidden=128, tower_intermediate=512, tower_layers=6, hidden=256, intermediate=512, layers=4, head=64)
OPTIONS = CheckpointOptions(size=DEMO, dtype="bfloat16", images_first=True)
SIDE = CROP // PATCH


class LlavaNext(Family):
    """`pixels` are crops `[crops, 3, size, size]`, the base first, `grids` heights and widths of pictures."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.tokenizer = build_tokenizer(texts)
        self._image_processor = build_processor(OPTIONS, self.tokenizer).image_processor

    def build_model(self) -> PreTrainedModel:
        config = build_config(OPTIONS, self.tokenizer.get_vocab_size())
        for part in (config, config.text_config, config.vision_config):
            part._attn_implementation = "eager"
        return LlavaNextForConditionalGeneration(config).float()

    def tower_of(self, model: PreTrainedModel) -> nn.Module:
        tower: nn.Module = model.model.vision_tower
        return tower

    def freeze_tower(self, model: PreTrainedModel) -> None:
        model.model.vision_tower.requires_grad_(False)

    def pixels(self, pictures: Sequence[Image.Image]) -> Pixels:
        crops = [self._image_processor(picture, return_tensors="pt").pixel_values[0] for picture in pictures]
        return {"pixels": torch.cat(crops), "grids": torch.tensor([[each.height, each.width] for each in pictures])}

    def views(self, scene: Scene, grid: Tensor) -> list[View]:
        left, top = margins(scene.width, scene.height)
        tiles = [
            View(column * CROP - left, row * CROP - top, CROP, CROP, SIDE, SIDE, placed=False)
            for row in range(ceil(scene.height / CROP))
            for column in range(ceil(scene.width / CROP))
        ]
        return [View(0, 0, scene.width, scene.height, SIDE, SIDE, legible=False), *tiles]

    def features(self, tower: nn.Module, batch: Pixels) -> Tensor:
        states: tuple[Tensor, ...] = tower(batch["pixels"], output_hidden_states=True).hidden_states
        return states[-2][:, 1:].flatten(0, 1)  # [crops * patches, hidden_size]

    def visual(self, model: PreTrainedModel, batch: Pixels) -> Visual:
        config, grids = model.config, batch["grids"]
        features = model.model.get_image_features(
            batch["pixels"].unflatten(0, (len(grids), -1)),  # [scenes, crops, 3, size, size]
            grids,
            vision_feature_layer=config.vision_feature_layer,
            vision_feature_select_strategy=config.vision_feature_select_strategy,
        )
        return Visual(torch.stack(list(features.pooler_output)))

    def positions(self, first: int, visual_tokens: int, batch: Pixels) -> tuple[Tensor, int]:
        return torch.arange(first + visual_tokens)[None], first + visual_tokens

    def states(self, model: PreTrainedModel, visual: Visual, first: int, **inputs: Any) -> tuple[Tensor, ...]:
        inputs["position_ids"] = inputs["position_ids"][0]
        states: tuple[Tensor, ...] = model.model.language_model(
            **inputs, use_cache=False, output_hidden_states=True
        ).hidden_states
        return states

    def save(self, model: PreTrainedModel, folder: Path) -> None:
        weights = {published_name(name): value.detach() for name, value in model.named_parameters()}
        write_model(folder, OPTIONS, self.tokenizer, weights)
