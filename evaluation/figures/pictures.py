"""Pictures in figures."""

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from PIL import Image

WIDTH = 2.4
"""Inches that a picture is wide."""
DIMMED = 0.18
"""Brightness that is left of a patch whose token is dropped."""


def picture_heights(pictures: Iterable[Image.Image]) -> list[float]:
    """Heights in inches of rows that show these pictures, with some room for a title."""
    return [WIDTH * picture.height / picture.width + 0.3 for picture in pictures]


def show(axes: Axes, picture: Image.Image, title: str) -> None:
    """Show a picture without its axes."""
    axes.imshow(picture, cmap="gray")
    axes.set_title(title, fontsize=9)
    axes.set_axis_off()


def dimmed(picture: Image.Image, kept: np.ndarray) -> Image.Image:
    """A picture, dark where tokens are dropped.

    Args:
        kept: bool `[grid_height, grid_width]`.
    """
    mask = Image.fromarray(kept.astype(np.uint8) * 255).resize(picture.size, Image.Resampling.NEAREST)
    dark = Image.fromarray((np.asarray(picture) * DIMMED).astype(np.uint8))
    return Image.composite(picture, dark, mask)
