"""Draw what a server keeps of a picture: `python -m evaluation.view IMAGE`. `view` returns the figure to a notebook."""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from openai import APIStatusError, OpenAI, OpenAIError
from PIL import Image

from evaluation.client import client_options
from evaluation.failure import EvaluationError
from evaluation.figures.canvas import save, subplots
from evaluation.figures.pictures import WIDTH, dimmed, picture_heights, show
from evaluation.picture import data_url

URL = "http://localhost:8000"
RATIOS = (0.5, 0.7, 0.9)


def view(
    picture: Image.Image | str | Path, ratios: Sequence[float] = RATIOS, methods: Sequence[str] = (), url: str = URL
) -> Figure:
    """A row for each method: the picture, and what stays of its crops at each ratio.

    Args:
        picture: itself, or its file.
        ratios: fractions of the visual tokens to prune.
        methods: those that the server has enabled; its default where none is named.
        url: of a server of gprune-vllm.

    Raises:
        EvaluationError: the server does not answer, or refuses; the message is its own.
    """
    image = (picture if isinstance(picture, Image.Image) else Image.open(picture)).convert("RGB")
    shown = _ask(url, image, ratios, methods)
    (group,) = (group for group in shown["groups"] if group["name"] == "grid")
    count, columns = max(1, len(methods)), 1 + len(ratios)
    figure, axes = subplots(columns, WIDTH, picture_heights([image] * count))
    for number in range(count):
        plans = shown["plans"][number::count]
        first, *others = axes[number * columns : (number + 1) * columns]
        show(first, image, plans[0]["method"])
        for place, plan in zip(others, plans, strict=True):
            kept = np.isin(np.arange(group["rows"] * group["columns"]), plan["kept_indices"]["grid"])
            title = f"{plan['prune_ratio']:.0%} pruned: {plan['kept']} of {plan['input']}"
            show(place, dimmed(image, kept.reshape(group["rows"], group["columns"])), title)
    return figure


def _ask(url: str, image: Image.Image, ratios: Sequence[float], methods: Sequence[str]) -> dict[str, Any]:
    """What the server says of one image: plans ratio by ratio, with each method."""
    body = {"images": [data_url(image)], "prune_ratio": [*ratios], "prune_method": [*methods] or None}
    try:
        with OpenAI(**client_options(url)) as client:
            answer: Any = client.post("/visual_tokens", body=body, cast_to=object)
    except APIStatusError as error:
        raise EvaluationError(f"the server answered {error.status_code}: {error.message}") from error
    except OpenAIError as error:
        raise EvaluationError(f"no server answers at {url} ({error}); `make serve` starts one") from error
    shown: dict[str, Any] = answer["data"][0]
    return shown


def main(arguments: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(prog="python -m evaluation.view", description="Show what a server keeps of a picture.")
    parser.add_argument("picture", type=Path, metavar="IMAGE", help="file of the picture")
    parser.add_argument("--ratio", type=float, nargs="+", default=RATIOS, help="default: %(default)s")
    parser.add_argument("--method", nargs="+", default=(), help="default: the server's")
    parser.add_argument("--url", default=URL, help="default: %(default)s")
    parser.add_argument("--output", type=Path, metavar="PNG", help="default: IMAGE-kept.png, beside the picture")
    given = parser.parse_args(arguments)
    output = given.output or given.picture.with_name(f"{given.picture.stem}-kept.png")
    try:
        save(view(given.picture, given.ratio, given.method, given.url), output)
    except (EvaluationError, OSError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    print(output)


if __name__ == "__main__":
    main()
