"""Tiles of an image: squares of pixels that the tower sees one by one. Their tokens lie side by side in a grid, or have
text between them in the prompt."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gprune_vllm.adapter.family import Layout
from gprune_vllm.plan import Group, PruneSpec, TokenPlan

EMPTY = Group(0, 0, 0)
"""Stands for the tiles of an image that is not cut, or for its thumbnail."""


def tile_size(hf_config: Any) -> int:
    """Pixels along a side of a tile."""
    return _first(hf_config.vision_config.image_size)


def tokens_per_side(hf_config: Any) -> int:
    """Tokens along a side of a tile."""
    patches = tile_size(hf_config) // _first(hf_config.vision_config.patch_size)
    return int(patches * hf_config.downsample_ratio)


def _first(sides: Any) -> int:
    """One of two equal sides, which Transformers' configuration gives as a pair."""
    return int(sides if isinstance(sides, int) else sides[0])


def tile_by_tile(group: Group, side: int, transposed: int, device: torch.device | None) -> Tensor:
    """Positions of the tokens of tiles laid side by side, row by row: `[copies * tokens]` int64."""
    token = torch.arange(group.copies * group.tokens, device=device)
    copy, place = token // max(1, group.tokens), token % max(1, group.tokens)
    row, column = place // max(1, group.columns), place % max(1, group.columns)
    tile = row // side * (group.columns // side) + column // side
    within = (column % side * side + row % side) if transposed else (row % side * side + column % side)
    return copy * group.tokens + tile * side**2 + within


def plan_crops(side: int, crops: int, spec: PruneSpec) -> TokenPlan:
    """Plan crops that have text between them: tiles if there are several crops, and a thumbnail last.

    Args:
        side: tokens along a side of a crop. Each crop keeps as many as any other.
    """
    thumbnail = Group(side, side, spec.count_each(side**2, crops))
    tiles = replace(thumbnail, copies=crops - 1) if crops > 1 else EMPTY
    return TokenPlan((tiles, thumbnail), structural=0, span=crops * side**2, units=crops)


def crop_by_crop(plan: TokenPlan, device: torch.device | None) -> Layout:
    """Lay out the crops of `plan_crops`."""
    positions = torch.arange(plan.patches, device=device)
    tiles, thumbnail = positions.tensor_split([plan.patches - plan.groups[-1].tokens])
    return Layout([tiles, thumbnail], positions[:0], plan.units)
