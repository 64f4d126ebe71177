"""How all figures are drawn."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DPI = 100
COLOURS = {
    "gprune": "#d62728",
    "gprune-nms": "#e377c2",
    "gprune-blend": "#17becf",
    "grid": "#000000",
    "scope": "#8c564b",
    "random": "#7f7f7f",
    "l2norm": "#bcbd22",
    "tome": "#1f77b4",
    "divprune": "#2ca02c",
    "visionzip": "#9467bd",
    "fastv": "#ff7f0e",
}
"""A method has the same colour in all figures."""


def subplots(columns: int, width: float = 5.0, heights: Sequence[float] = (4.0,)) -> tuple[Figure, list[Axes]]:
    """A figure and its axes, row by row, all `width` inches wide and each row as high as said. It needs no display."""
    figure = Figure(figsize=(width * columns, sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights)
    return figure, list(np.asarray(axes).flat)


def save(figure: Figure, file: Path) -> None:
    """Write a figure, making the folder where it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"pil_kwargs": {"optimize": True}} if file.suffix.lower() == ".png" else {}
    figure.savefig(file, dpi=DPI, **options)
