"""`gprune-view`: what a server keeps of a picture, in a figure. In a notebook, `view` returns it."""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import torch
from matplotlib.figure import Figure
from PIL import Image

from evaluation.failure import EvaluationError
from evaluation.figures.canvas import picture_heights, save, subplots
from evaluation.figures.heat_maps import WIDTH, show
from evaluation.figures.kept_tokens import dimmed
from evaluation.sample import Picture
from evaluation.service import authorization

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
    rows = [shown["plans"][start :: max(1, len(methods))] for start in range(max(1, len(methods)))]
    figure, axes = subplots(1 + len(ratios), WIDTH, picture_heights([image] * len(rows), WIDTH))
    for number, plans in enumerate(rows):
        first, *others = axes[number * (1 + len(ratios)) : (number + 1) * (1 + len(ratios))]
        show(first, image, plans[0]["method"])
        for place, plan in zip(others, plans, strict=True):
            kept = torch.zeros(group["rows"] * group["columns"], dtype=torch.bool)
            kept[plan["kept_indices"]["grid"]] = True
            title = f"{plan['prune_ratio']:.0%} pruned: {plan['kept']} of {plan['input']}"
            show(place, dimmed(image, kept.view(group["rows"], group["columns"])), title)
    return figure


def _ask(url: str, image: Image.Image, ratios: Sequence[float], methods: Sequence[str]) -> dict[str, Any]:
    """What the server says of one image: plans ratio by ratio, with each method."""
    body = {"images": [Picture.of(image).url], "prune_ratio": [*ratios], "prune_method": [*methods] or None}
    path = f"{url.rstrip('/').removesuffix('/v1')}/v1/visual_tokens"
    try:
        answer = httpx.post(path, json=body, headers=authorization(), timeout=120)
    except httpx.HTTPError as error:
        raise EvaluationError(f"no server answers at {url} ({error}); `make serve` starts one") from error
    if answer.status_code != httpx.codes.OK:
        raise EvaluationError(f"the server answered {answer.status_code}: {answer.text[:1000]}")
    shown: dict[str, Any] = answer.json()["data"][0]
    return shown


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = ArgumentParser(prog="gprune-view", description="Show what a server keeps of a picture.")
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
        parser.exit(1, f"gprune-view: {error}\n")
    print(output)


if __name__ == "__main__":
    main()
