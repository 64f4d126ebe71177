"""Pruning of one image's features, from the vision tower to the embeddings the language model reads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gprune_vllm.families.layout import grid_index, grid_positions, newline_positions
from gprune_vllm.methods.registry import select_tokens
from gprune_vllm.methods.selection import Selection
from gprune_vllm.plan import TokenPlan


@dataclass(frozen=True, slots=True)
class KeptPatches:
    """The patch tokens of one image that stay.

    Attributes:
        features: `[base_kept + grid_kept, hidden_size]`.
        positions: `[base_kept + grid_kept]` int64, ascending, in the unpruned sequence of visual tokens.
    """

    features: Tensor
    positions: Tensor


def keep_patches(
    features: Tensor, plan: TokenPlan, method: str, seen: Mapping[str, Tensor] | None = None, **options: Any
) -> KeptPatches:
    """Select the patch tokens of one image that stay, base crop and grid as separate groups.

    Args:
        features: `[crops, patches_per_side ** 2, hidden_size]`, the base crop first.
        seen: options that have a value for each token, `[crops, patches_per_side ** 2, ...]`.
    """
    features = features.flatten(0, 1)  # [crops * patches_per_side ** 2, hidden_size]
    seen = {name: values.flatten(0, 1) for name, values in (seen or {}).items()}

    def select(rows: slice | Tensor, keep: int) -> Selection:
        of_rows = {name: values[rows] for name, values in seen.items()}
        return select_tokens(features[rows], keep, method, **of_rows, **options)

    base = select(slice(plan.base_tokens), plan.base_kept)
    grid = select(grid_index(plan, features.device), plan.grid_kept)
    positions = torch.cat((base.index, grid_positions(plan, features.device)[grid.index]))
    return KeptPatches(torch.cat((base.features, grid.features)), positions)


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
