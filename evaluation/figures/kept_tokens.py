"""Figure 6: the tokens that each method keeps, side by side."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from evaluation.figures.canvas import save, subplots
from evaluation.figures.pictures import WIDTH, dimmed, picture_heights, show
from evaluation.offline import OfflineModel


def draw_kept_tokens(
    model: OfflineModel, pictures: dict[str, Image.Image], methods: Sequence[str], ratio: float, file: Path
) -> None:
    """A row for each picture: itself, and what each method keeps of its grid. Merged tokens are where they went."""
    columns = 1 + len(methods)
    figure, axes = subplots(columns, WIDTH, picture_heights(pictures.values()))
    for row, (name, picture) in enumerate(pictures.items()):
        seen = model.see(picture)
        first, *others = axes[row * columns : (row + 1) * columns]
        show(first, picture, name)
        for place, method in zip(others, methods, strict=True):
            show(place, dimmed(picture, model.kept(seen, method, ratio).numpy()), method if row == 0 else "")
    figure.suptitle(f"{ratio:.0%} of the visual tokens pruned")
    save(figure, file)
