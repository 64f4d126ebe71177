"""Figure 6: the tokens that each method keeps, side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from evaluation.figures.canvas import picture_heights, save, subplots
from evaluation.figures.heat_maps import WIDTH, show
from evaluation.offline import OfflineModel

DIMMED = 0.18
"""Brightness that is left of a patch whose token is dropped."""


def draw_kept_tokens(
    model: OfflineModel, pictures: dict[str, Image.Image], methods: Sequence[str], ratio: float, file: Path
) -> None:
    """A row for each picture: itself, and what each method keeps of its grid. Merged tokens are where they went."""
    columns = 1 + len(methods)
    figure, axes = subplots(columns, WIDTH, picture_heights(pictures.values(), WIDTH))
    for row, (name, picture) in enumerate(pictures.items()):
        seen = model.see(picture)
        first, *others = axes[row * columns : (row + 1) * columns]
        show(first, picture, name)
        for place, method in zip(others, methods, strict=True):
            show(place, dimmed(picture, model.kept(seen, method, ratio)), method if row == 0 else "")
    figure.suptitle(f"{ratio:.0%} of the visual tokens pruned")
    save(figure, file)


def dimmed(picture: Image.Image, kept: Tensor) -> Image.Image:
    """A picture, dark where tokens are dropped.

    Args:
        kept: bool `[grid_height, grid_width]`.
    """
    mask = Image.fromarray(kept.numpy().astype(np.uint8) * 255).resize(picture.size, Image.Resampling.NEAREST)
    dark = Image.fromarray((np.asarray(picture) * DIMMED).astype(np.uint8))
    return Image.composite(picture, dark, mask)
