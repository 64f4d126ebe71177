"""Non-maximum suppression: of look-alikes side by side one stays, of those far apart each does.

G-Prune's graph joins look-alikes wherever they are, so that of three equal things in a picture one survives. Greedy
suppression keeps G-Prune's scores, and takes a token's look-alikes back only near it.

Source: greedy suppression with a decaying score as in arXiv 1704.04503 (Soft-NMS, ICCV 2017), with similarity in place
of overlap.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gprune_vllm.defaults import ITERATIONS, TEMPERATURE, THRESHOLD
from gprune_vllm.methods import kernels
from gprune_vllm.methods.gprune import SIMILARITIES, Score, Similarity, graph_scores, initial_scores

Shape = tuple[int, int]
"""Rows and columns."""

LARGEST_RADIUS = 15
"""In tokens. It bounds the memory of `remaining_shares`."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """How chosen tokens take of their neighbours' scores.

    Attributes:
        radius: how many rows and columns away a token suppresses its look-alikes, at least 1 and at most 15.
        early: how many tokens are chosen while only near-duplicates lose much.
        early_exponent: of the similarity meanwhile.
        exponent: of the similarity in the choice of all others.
    """

    radius: int
    early: int = 0
    early_exponent: int = 1
    exponent: int = 1


def choose(
    features: Tensor,
    keep: int,
    shape: Shape,
    how: Suppression,
    threshold: float = THRESHOLD,
    temperature: float | None = TEMPERATURE,
    iterations: int = ITERATIONS,
    score: Score = "l2norm",
    similarity: Similarity = "cosine",
    **_: Any,
) -> Tensor:
    """Choose tokens of the largest information score, after each of which its look-alikes nearby lose of theirs.

    Look-alikes are tokens that the graph joins. The score of each is multiplied by one minus a power of its similarity
    with the chosen token. All other arguments are those of `gprune_vllm.methods.gprune.gprune`.

    Returns:
        `[..., keep]` int64 indices in the order of choice.
    """
    features = features.float()
    alike = SIMILARITIES[similarity](features)
    window = neighbours(shape, min(LARGEST_RADIUS, max(1, how.radius)), features.device)
    late = remaining_shares(alike, window, threshold, how.exponent)
    early = remaining_shares(alike, window, threshold, how.early_exponent) if how.early else late
    scores = graph_scores(initial_scores(features, score), alike, threshold, temperature, iterations)
    if kernels.runs_on(features.device):
        return kernels.suppress(scores, early, late, shape[1], keep, how.early)
    return suppress(scores, early, late, window, keep, how.early)


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


def remaining_shares(similarity: Tensor, window: Tensor, threshold: float, exponent: int) -> Tensor:
    """Share of its score that each neighbour of a chosen token is left with.

    Args:
        similarity: `[..., num_tokens, num_tokens]`, float32.
        window: `[num_tokens, window]`, see `neighbours`.
        exponent: the larger, the more alike a neighbour must be to lose much.

    Returns:
        `[..., num_tokens, window]`, float32 in [0, 1]: one minus a power of the similarity where that reaches the
        threshold, else 1.
    """
    alike = similarity.gather(-1, window.expand(*similarity.shape[:-1], -1)).clamp_(0, 1)
    return torch.where(alike >= threshold, 1 - alike**exponent, 1.0)


def suppress(scores: Tensor, early: Tensor, late: Tensor, window: Tensor, keep: int, first: int) -> Tensor:
    """Choose tokens one by one, best first, each of which takes of its neighbours' scores. Of equals the first is
    chosen.

    Args:
        scores: `[..., num_tokens]`, float32, not negative.
        early: `[..., num_tokens, window]`, see `remaining_shares`, by which the first tokens are chosen.
        late: the same for all others. Tokens that are chosen early take of these scores too.
        window: `[num_tokens, window]`, see `neighbours`.
        first: how many are chosen early.

    Returns:
        `[..., keep]` int64 indices in the order of choice. Nothing here waits for the device.
    """
    sides, order = [(scores.clone(), early), (scores.clone(), late)], []
    for step in range(keep):
        chosen = sides[step >= first][0].argmax(dim=-1, keepdim=True)  # [..., 1]
        near = window[chosen.squeeze(-1)]  # [..., window]
        for left, shares in sides[step >= first :]:
            share = shares.gather(-2, chosen.unsqueeze(-1).expand(*chosen.shape, shares.shape[-1])).squeeze(-2)
            before = left.gather(-1, near)
            left.scatter_(-1, near, torch.minimum(before, before * share))  # a chosen one, below 0, stays there
            left.scatter_(-1, chosen, -1.0)  # never again
        order.append(chosen)
    return torch.cat(order, dim=-1)  # [..., keep]
