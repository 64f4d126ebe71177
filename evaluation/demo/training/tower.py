"""Stage 1: the vision tower alone, told of each patch what it shows."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModel, LlavaNextImageProcessor

from evaluation.demo.training.labels import CLASSES, IGNORED, patch_labels
from evaluation.scenes.drawing import draw
from evaluation.scenes.scene import make_scene

SIGNS = 6
"""Signs in a scene of this stage: letters are what takes longest to learn."""


def tower_batch(image_processor: LlavaNextImageProcessor, seeds: range) -> dict[str, Any]:
    """Crops `[crops, 3, size, size]` of scenes, and for each name of `CLASSES` its classes `[crops, patches]`."""
    scenes = [make_scene(seed, "train", signs=SIGNS) for seed in seeds]
    pixels = [image_processor(draw(scene), return_tensors="pt").pixel_values[0] for scene in scenes]
    labels = [patch_labels(scene) for scene in scenes]
    return {"pixels": torch.cat(pixels)} | {
        name: torch.from_numpy(np.concatenate([label[name] for label in labels])) for name in CLASSES
    }


class SupervisedTower(nn.Module):
    """A CLIP tower, with a linear reading of the layer that LLaVA-NeXT takes its features from."""

    def __init__(self, config: CLIPVisionConfig) -> None:
        super().__init__()
        self.tower = CLIPVisionModel(config)
        self.heads = nn.Linear(config.hidden_size, sum(CLASSES.values()))

    def features(self, pixels: Tensor) -> Tensor:
        """`[crops, patches, hidden_size]` of `pixels` `[crops, 3, size, size]`."""
        states: tuple[Tensor, ...] = self.tower(pixels, output_hidden_states=True).hidden_states
        return states[-2][:, 1:]

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Logits `[crops, patches, classes]` of each name of `CLASSES`."""
        logits = self.heads(self.features(pixels)).float().split(list(CLASSES.values()), dim=-1)
        return dict(zip(CLASSES, logits, strict=True))


def tower_loss(logits: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
    """Cross-entropy over all names, patches that show something counting as much as those that show nothing."""
    losses = []
    for name, values in logits.items():
        classes = batch[name].flatten()
        loss = functional.cross_entropy(values.flatten(0, 1), classes, reduction="none")  # [crops * patches]
        something = (classes > 0) if name != "place" else (classes != IGNORED)
        losses.append((loss * something).sum() / something.sum().clamp_min(1))
        losses.append(0.5 * (loss * ~something).sum() / (~something).sum().clamp_min(1))
    return torch.stack(losses).sum()


@torch.no_grad()
def tower_accuracy(logits: dict[str, Tensor], batch: dict[str, Tensor]) -> dict[str, float]:
    """Of the patches that show something, how many are told right, by name."""
    right = {}
    for name, values in logits.items():
        something = (batch[name] > 0) if name != "place" else (batch[name] != IGNORED)
        right[name] = float((values.argmax(-1) == batch[name])[something].float().mean())
    return right
