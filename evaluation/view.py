"""Draw what a server keeps of a picture: `python -m evaluation.view IMAGE`. `view` returns the figure to a notebook."""

from argparse import ArgumentParser
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from PIL import Image

from evaluation.client import client_options
from evaluation.failure import EvaluationError
from evaluation.file_picture import FilePicture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

URL = "http://localhost:8000"
RATIOS = (0.5, 0.7, 0.9)
SHOWN = (480, 4800)
"""Width and height in pixels that a figure has room for, twice over."""
KINDS = (".jpeg", ".jpg", ".pdf", ".png", ".svg", ".webp")
"""Kinds of files that a figure is written to."""


def view(
    picture: Image.Image | str | Path, ratios: Sequence[float] = RATIOS, methods: Sequence[str] = (), url: str = URL
) -> "Figure":
    """A row for each method: the picture, and what stays of its crops at each ratio.

    Args:
        picture: itself, or its file, which is sent as it is.
        ratios: fractions of the visual tokens to prune.
        methods: those that the server has enabled; its default where none is named.
        url: of a server of gprune-vllm.

    Raises:
        EvaluationError: the file is no picture, or the server does not answer, or refuses; the message is its own.
        OSError: the file cannot be read.
    """
    file = FilePicture.of(_encoded(picture)) if isinstance(picture, Image.Image) else FilePicture.read(Path(picture))
    shown = _ask(url, file, ratios, methods)
    return _draw(file.seen, shown, max(1, len(methods)), len(ratios))


def _draw(image: Image.Image, shown: dict[str, Any], rows: int, ratios: int) -> "Figure":
    """Draw plans of one image, ratio by ratio with each method."""
    import numpy as np  # and matplotlib: what takes seconds to import comes after the server's answer

    from evaluation.figures.canvas import subplots
    from evaluation.figures.pictures import WIDTH, dimmed, picture_heights, show

    image.thumbnail(SHOWN)
    group = shown["groups"][-1]  # the finest: LLaVA-NeXT's base crop comes before its grid
    figure, axes = subplots(1 + ratios, WIDTH, picture_heights([image] * rows))
    for number in range(rows):
        plans = shown["plans"][number::rows]
        first, *others = axes[number * (1 + ratios) : (number + 1) * (1 + ratios)]
        show(first, image, plans[0]["method"])
        for place, plan in zip(others, plans, strict=True):
            kept = np.isin(np.arange(group["rows"] * group["columns"]), plan["kept_indices"][group["name"]])
            title = f"{plan['prune_ratio']:.0%} pruned: {plan['kept']} of {plan['input']}"
            show(place, dimmed(image, kept.reshape(group["rows"], group["columns"])), title)
    return figure


def _encoded(image: Image.Image) -> bytes:
    """An image in memory as a file, without loss."""
    buffer = BytesIO()
    (image if image.mode in ("1", "L", "LA", "P", "RGBA", "I;16") else image.convert("RGB")).save(buffer, "PNG")
    return buffer.getvalue()


def _ask(url: str, picture: FilePicture, ratios: Sequence[float], methods: Sequence[str]) -> dict[str, Any]:
    """What the server says of one image: plans ratio by ratio, with each method."""
    body = {"images": [picture.url], "prune_ratio": [*ratios], "prune_method": [*methods] or None}
    options = client_options(url)
    key = {"Authorization": f"Bearer {options['api_key']}"}
    try:
        answer = httpx.post(f"{options['base_url']}/visual_tokens", json=body, headers=key, timeout=options["timeout"])
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise EvaluationError(f"no server answers at {url} ({error}); `make serve` starts one") from error
    try:
        said = answer.json()
        shown: dict[str, Any] | str = said["error"]["message"] if answer.is_error else said["data"][0]
    except (ValueError, LookupError, TypeError) as error:
        raise EvaluationError(f"no server of gprune-vllm: {url} answered {answer.text[:200]!r}") from error
    if isinstance(shown, str):
        raise EvaluationError(f"the server answered {answer.status_code}: {shown}")
    return shown


def output_file(given: Path | None, picture: Path) -> Path:
    """The file to write.

    Raises:
        EvaluationError: figures are not written to files of its kind.
    """
    file = given or picture.with_name(f"{picture.stem}-kept.png")
    if file.suffix.lower() not in KINDS:
        raise EvaluationError(f"{file}: no figure can be written to it; name a file that ends in {', '.join(KINDS)}")
    return file


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(prog="python -m evaluation.view", description="Show what a server keeps of a picture.")
    parser.add_argument("picture", type=Path, metavar="IMAGE", help="file of the picture")
    parser.add_argument("--ratio", type=float, nargs="+", default=RATIOS, help="default: %(default)s")
    parser.add_argument("--method", nargs="+", default=(), help="default: the server's")
    parser.add_argument("--url", default=URL, help="default: %(default)s")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: IMAGE-kept.png, beside the picture")
    given = parser.parse_args(arguments)
    try:
        output = output_file(given.output, given.picture)
        _save(view(given.picture, given.ratio, given.method, given.url), output)
    except (EvaluationError, OSError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    print(output)


def _save(figure: "Figure", file: Path) -> None:
    from evaluation.figures.canvas import save

    save(figure, file)


if __name__ == "__main__":
    main()
