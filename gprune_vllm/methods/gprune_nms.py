"""G-Prune with non-maximum suppression: of look-alikes side by side one stays, of those far apart each does.

G-Prune's graph joins look-alikes wherever they are, so that of three equal things in a picture one survives. Greedy
non-maximum suppression keeps G-Prune's scores, and takes a token's look-alikes back only near it.
"""

from math import sqrt
from typing import Any

import torch
from torch import Tensor

from gprune_vllm.defaults import ITERATIONS, TEMPERATURE, THRESHOLD
from gprune_vllm.methods import kernels
from gprune_vllm.methods.gprune import SIMILARITIES, Score, Similarity, graph_scores, initial_scores
from gprune_vllm.methods.registry import register_selector

Shape = tuple[int, int]
"""Rows and columns."""

_RADIUS_PER_SPACING = 0.7
_LARGEST_RADIUS = 15
"""In tokens. It bounds the memory of `remaining_shares`, and is reached where fewer than one token in 459 stays."""


def suppression_radius(num_tokens: int, keep: int) -> int:
    """How many rows and columns away a token suppresses its look-alikes: about the spacing of the tokens that stay."""
    return min(_LARGEST_RADIUS, max(1, int(_RADIUS_PER_SPACING * sqrt(num_tokens / keep))))


def neighbours(shape: Shape, radius: int, device: torch.device) -> Tensor:
    """Places around each token: `[num_tokens, (2 * radius + 1) ** 2]` int64, row by row.

    A token's own place stands for those outside of the grid.
    """
    rows, columns = shape
    token = torch.arange(rows * columns, device=device).unsqueeze(1)  # [num_tokens, 1]
    step = torch.arange((2 * radius + 1) ** 2, device=device)  # [window]
    row = token // columns + step // (2 * radius + 1) - radius  # [num_tokens, window]
    column = token % columns + step % (2 * radius + 1) - radius
    inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    return torch.where(inside, row * columns + column, token)


def remaining_shares(similarity: Tensor, window: Tensor, threshold: float) -> Tensor:
    """Share of its score that each neighbour of a chosen token is left with.

    Args:
        similarity: `[..., num_tokens, num_tokens]`, float32.
        window: `[num_tokens, window]`, see `neighbours`.

    Returns:
        `[..., num_tokens, window]`, float32 in [0, 1]: one minus the similarity where it reaches the threshold, else 1.
    """
    alike = similarity.gather(-1, window.expand(*similarity.shape[:-1], -1))
    return torch.where(alike >= threshold, 1 - alike, 1.0).clamp_(0, 1)


def suppress(scores: Tensor, shares: Tensor, window: Tensor, keep: int) -> Tensor:
    """Choose tokens one by one, best first, each of which takes its share of its neighbours' scores. Of equals the
    first is chosen.

    Args:
        scores: `[..., num_tokens]`, float32, not negative.
        shares: `[..., num_tokens, window]`, see `remaining_shares`.
        window: `[num_tokens, window]`, see `neighbours`.

    Returns:
        `[..., keep]` int64 indices in the order of choice. Nothing here waits for the device.
    """
    scores, order = scores.clone(), []
    for _ in range(keep):
        chosen = scores.argmax(dim=-1, keepdim=True)  # [..., 1]
        near = window[chosen.squeeze(-1)]  # [..., window]
        share = shares.gather(-2, chosen.unsqueeze(-1).expand(*chosen.shape, shares.shape[-1])).squeeze(-2)
        before = scores.gather(-1, near)
        scores.scatter_(-1, near, torch.minimum(before, before * share))  # a chosen one, below 0, stays there
        scores.scatter_(-1, chosen, -1.0)  # never again
        order.append(chosen)
    return torch.cat(order, dim=-1)  # [..., keep]


@register_selector("gprune-nms")
def gprune_nms(
    features: Tensor,
    keep: int,
    *,
    shape: Shape,
    threshold: float = THRESHOLD,
    temperature: float | None = TEMPERATURE,
    iterations: int = ITERATIONS,
    score: Score = "l2norm",
    similarity: Similarity = "cosine",
    **_: Any,
) -> Tensor:
    """Tokens of the largest information score, after each of which its look-alikes nearby lose of theirs.

    Look-alikes are tokens that the graph joins. The score of each is multiplied by one minus its similarity with the
    chosen token.

    Source: scores of arXiv 2501.02268 (G-Prune, AAAI 2025); greedy suppression with a decaying score as in arXiv
    1704.04503 (Soft-NMS, ICCV 2017), with similarity in place of overlap.
    """
    features = features.float()
    alike = SIMILARITIES[similarity](features)
    window = neighbours(shape, suppression_radius(features.shape[-2], keep), features.device)
    shares = remaining_shares(alike, window, threshold)
    scores = graph_scores(initial_scores(features, score), alike, threshold, temperature, iterations)
    if kernels.runs_on(features.device):
        return kernels.suppress(scores, shares, shape[1], keep)
    return suppress(scores, shares, window, keep)
