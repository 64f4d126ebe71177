"""Stage 1: the vision tower alone, told of each patch what it shows."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.demo.training.families.family import Family
from evaluation.demo.training.labels import CLASSES, IGNORED, patch_labels
from evaluation.demo.training.worlds import Grid, World


def tower_batch(family: Family, world: World, seeds: range, grids: Sequence[Grid]) -> dict[str, Any]:
    """Pixels of scenes, and for each name of `CLASSES` the classes of their patches, `[patches]`.

    Args:
        family: of the tower.
        world: of the scenes.
        seeds: of the scenes.
        grids: one is drawn for each scene.
    """
    source = random.Random(f"tower {seeds}")
    scenes = [world.crowded_scene(seed, source.choice(grids), source) for seed in seeds]
    pixels = family.pixels([world.draw(scene) for scene in scenes])
    views = [family.views(scene, grid) for scene, grid in zip(scenes, pixels["grids"], strict=True)]
    labels = [patch_labels(scene, each) for scene, each in zip(scenes, views, strict=True)]
    return pixels | {name: torch.from_numpy(np.concatenate([label[name] for label in labels])) for name in CLASSES}


class SupervisedTower(nn.Module):
    """A tower, with a linear reading of what the projector takes from it."""

    def __init__(self, family: Family, tower: nn.Module, hidden_size: int) -> None:
        super().__init__()
        self.family = family
        self.tower = tower
        self.heads = nn.Linear(hidden_size, sum(CLASSES.values()))

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Logits `[patches, classes]` of each name of `CLASSES`."""
        features = self.family.features(self.tower, batch)
        logits = self.heads(features).float().split(list(CLASSES.values()), dim=-1)
        return dict(zip(CLASSES, logits, strict=True))


def tower_loss(logits: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
    """Cross-entropy over all names, patches that show something counting as much as those that show nothing."""
    losses = []
    for name, values in logits.items():
        classes = batch[name]
        loss = functional.cross_entropy(values, classes, reduction="none")  # [patches]
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
