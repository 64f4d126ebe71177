"""Pruning of one image's features, from the vision tower to the embeddings the language model reads."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gprune_vllm.layout import grid_index, grid_positions, newline_positions
from gprune_vllm.plan import TokenPlan
from gprune_vllm.selectors import select_tokens


@dataclass(frozen=True, slots=True)
class KeptPatches:
    """The patch tokens of one image that stay.

    Attributes:
        features: `[base_kept + grid_kept, hidden_size]`.
        positions: `[base_kept + grid_kept]` int64, ascending, in the unpruned sequence of visual tokens.
    """

    features: Tensor
    positions: Tensor


def keep_patches(features: Tensor, plan: TokenPlan, method: str, **options: Any) -> KeptPatches:
    """Select the patch tokens of one image that stay, base crop and grid as separate groups.

    Args:
        features: `[crops, patches_per_side ** 2, hidden_size]`, the base crop first.
    """
    features = features.flatten(0, 1)  # [crops * patches_per_side ** 2, hidden_size]
    base = features[: plan.base_tokens]
    grid = features[grid_index(plan, features.device)]
    kept_base = select_tokens(base, plan.base_kept, method, **options)
    kept_grid = select_tokens(grid, plan.grid_kept, method, **options)
    positions = torch.cat((kept_base, grid_positions(plan, features.device)[kept_grid]))
    return KeptPatches(torch.cat((base[kept_base], grid[kept_grid])), positions)


def insert_newlines(patches: KeptPatches, newline: Tensor, plan: TokenPlan) -> tuple[Tensor, Tensor]:
    """Put the newline tokens after the rows of the grid.

    Args:
        patches: projected patch tokens that stay.
        newline: `[hidden_size]`, the embedding of a newline token.

    Returns:
        Embeddings `[kept, hidden_size]` in order, and for each the number of tokens dropped before it, `[kept]` int64.
    """
    newlines = newline.to(patches.features).expand(plan.grid_height, -1)  # [grid_height, hidden_size]
    positions = torch.cat((patches.positions, newline_positions(plan, newline.device)))
    positions, order = positions.sort()
    embeddings = torch.cat((patches.features, newlines))[order]
    return embeddings, positions - torch.arange(plan.kept, device=positions.device)
