"""The graph's mean degree at each threshold: to how many tokens of its group a token is joined.

Writes degree.json and degree.md. A threshold that joins all or nothing leaves G-Prune the L2 norms alone.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tqdm import tqdm

from evaluation.arguments import add_model, positive
from evaluation.files import write_json, write_text
from evaluation.markdown import table
from evaluation.provenance import provenance
from evaluation.scenes.drawing import draw
from evaluation.scenes.scene import make_scene

if TYPE_CHECKING:
    from torch import Tensor

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def add_arguments(parser: ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--scenes", type=positive, default=50, help="pictures to look at (default: %(default)s)")
    parser.add_argument("--thresholds", nargs="+", type=float, default=THRESHOLDS, metavar="COSINE")


def run(arguments: Namespace) -> None:
    import torch

    from evaluation.scored import scored_groups

    groups = scored_groups(arguments.model)
    scenes = tqdm(range(arguments.scenes), unit="picture")
    pictures = [degrees(group, arguments.thresholds) for each in scenes for group in groups(draw(make_scene(each)))]
    means = torch.stack(pictures).mean(dim=0)  # [thresholds, 2]
    report = [
        {"threshold": threshold, "degree": degree, "share": share}
        for threshold, (degree, share) in zip(arguments.thresholds, means.tolist(), strict=True)
    ]
    write_json(arguments.output / "degree.json", report)
    rows = [[one["threshold"], f"{one['degree']:.1f}", f"{one['share']:.1%}"] for one in report]
    text = table(["threshold", "mean degree", "of the group"], rows, text_columns=0)
    text = f"{text}\n{provenance(arguments.words, None)}\n"
    write_text(arguments.output / "degree.md", text)
    print(text)


def degrees(features: "Tensor", thresholds: Sequence[float]) -> "Tensor":
    """The mean degree of a group's tokens at each threshold, and the same as a share of the group.

    Args:
        features: `[num_tokens, hidden_size]`, float32.
        thresholds: smallest cosines of tokens that are joined.

    Returns:
        `[thresholds, 2]`, float32. A token is joined to itself.
    """
    import torch

    from gprune_vllm.methods.gprune import cosine_similarity

    similarity = cosine_similarity(features)
    degree = torch.stack([(similarity >= threshold).sum(dim=-1).float().mean() for threshold in thresholds])
    return torch.stack((degree, degree / len(features)), dim=-1)
