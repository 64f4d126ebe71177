"""A uniform grid: as many tokens as stay, evenly spaced, whatever they show. A control for other methods."""

from math import sqrt
from typing import Any

import torch
from torch import Tensor

from gprune_vllm.methods.registry import register_selector


def grid_places(shape: tuple[int, int], keep: int, device: torch.device | None = None) -> Tensor:
    """Choose places of a grid in evenly spaced rows, in each of which they are evenly spaced too.

    Args:
        shape: rows and columns.
        keep: how many to choose, at least one and at most all.

    Returns:
        `[keep]` int64, counted row by row, ascending. They are computed on the device, which thus waits for nothing.
    """
    rows, columns = shape
    lines = min(rows, max(-(-keep // columns), round(sqrt(keep * rows / columns))))  # rows that have places
    place = torch.arange(keep, device=device)
    line = ((place + 1) * lines - 1) // keep  # line l has the places from keep * l // lines on
    first, end = keep * line // lines, keep * (line + 1) // lines
    row = (2 * line + 1) * rows // (2 * lines)  # in the middle of the line's share of the rows
    column = (2 * (place - first) + 1) * columns // (2 * (end - first))
    return row * columns + column


@register_selector("grid")
def grid(features: Tensor, keep: int, *, shape: tuple[int, int], **_: Any) -> Tensor:
    """Evenly spaced tokens."""
    return grid_places(shape, keep, features.device).expand(*features.shape[:-2], keep)
