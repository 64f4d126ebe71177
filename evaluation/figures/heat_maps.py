"""Figure 5: how G-Prune's score spreads over a picture from iteration to iteration."""

from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from evaluation.figures.canvas import save, subplots
from evaluation.figures.pictures import WIDTH, picture_heights, show
from evaluation.offline import OfflineModel
from gprune_vllm.methods.gprune import gprune_scores, initial_scores

ITERATIONS = (1, 3, 5, 7)


def draw_heat_maps(model: OfflineModel, pictures: dict[str, Image.Image], file: Path) -> None:
    """A row for each picture: itself, the L2 norms that the score starts from, and the score after t iterations."""
    columns = 2 + len(ITERATIONS)
    figure, axes = subplots(columns, WIDTH, picture_heights(pictures.values()))
    for row, (name, picture) in enumerate(pictures.items()):
        plan = model.plan(picture)
        features = model.see(picture).grid_features(plan)
        maps = {"t = 0 (L2 norm)": initial_scores(features, "l2norm")}
        maps |= {f"t = {count}": gprune_scores(features, iterations=count) for count in ITERATIONS}
        first, *others = axes[row * columns : (row + 1) * columns]
        show(first, picture, name)
        for place, (title, scores) in zip(others, maps.items(), strict=True):
            show(place, picture.convert("L"), title if row == 0 else "")
            grid = plan.groups[-1]
            heat = ranks(scores).reshape(grid.rows, grid.columns)
            place.imshow(heat, cmap="inferno", alpha=0.75, extent=(0, picture.width, picture.height, 0))
    save(figure, file)


def ranks(scores: Tensor) -> np.ndarray:
    """Where each score stands among all, 0 the least and 1 the largest: sizes differ from iteration to iteration.

    Args:
        scores: `[num_tokens]`.
    """
    order = scores.argsort(stable=True).argsort()
    return np.asarray(order / max(1, len(order) - 1))
