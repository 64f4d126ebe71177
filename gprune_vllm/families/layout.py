"""Where the visual tokens of an image lie: in the crops' features, and in the unpruned sequence."""

import torch
from torch import Tensor

from gprune_vllm.plan import TokenPlan


def grid_index(plan: TokenPlan, device: torch.device | None = None) -> Tensor:
    """Index of each patch of the unpadded grid in the crops' features.

    Returns:
        `[grid_height * grid_width]` int64, row by row, into features `[crops * patches_per_side ** 2, hidden_size]`
        whose first crop is the base crop.
    """
    side = plan.patches_per_side
    # Padding is cut off evenly, so the inner grid is centred.
    top = (plan.crop_rows * side - plan.grid_height) // 2
    left = (plan.crop_columns * side - plan.grid_width) // 2
    row = torch.arange(top, top + plan.grid_height, device=device).unsqueeze(1)  # [grid_height, 1]
    column = torch.arange(left, left + plan.grid_width, device=device)  # [grid_width]
    crop = 1 + row // side * plan.crop_columns + column // side  # [grid_height, grid_width]
    return (crop * side**2 + row % side * side + column % side).flatten()  # [grid_height * grid_width]


def grid_positions(plan: TokenPlan, device: torch.device | None = None) -> Tensor:
    """Position of each patch of the grid in the unpruned sequence of visual tokens.

    Returns:
        `[grid_height * grid_width]` int64.
    """
    patch = torch.arange(plan.grid_tokens, device=device)  # [grid_height * grid_width]
    # A newline token ends every row before this one.
    return plan.base_tokens + patch + patch // max(plan.grid_width, 1)


def newline_positions(plan: TokenPlan, device: torch.device | None = None) -> Tensor:
    """Position of each newline token in the unpruned sequence of visual tokens.

    Returns:
        `[grid_height]` int64.
    """
    row = torch.arange(1, plan.grid_height + 1, device=device)  # [grid_height]
    return plan.base_tokens + row * (plan.grid_width + 1) - 1
