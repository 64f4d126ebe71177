"""DivPrune: keep tokens as unlike each other as can be.

Alvar, Singh, Akbari, Zhang: "DivPrune: Diversity-based Visual Token Pruning for Large Multimodal Models", CVPR 2025,
arXiv 2503.02175.
"""

from typing import Any

import torch
from torch import Tensor

from gprune_vllm.methods import kernels
from gprune_vllm.methods.gprune import unit_length
from gprune_vllm.methods.registry import register_selector


def diverse_tokens(features: Tensor, keep: int) -> Tensor:
    """Choose tokens whose smallest cosine distance to each other is as large as a greedy search makes it.

    The first is the token whose nearest neighbour is farthest away. Each further one is farthest from those chosen,
    measured to the nearest of them, as in the authors' released code. Of equals the first is taken.

    Args:
        features: `[..., num_tokens, hidden_size]`, any floating dtype. Scored in float32.
        keep: how many to choose of each group, at least one and at most all.

    Returns:
        `[..., keep]` int64 indices in the order of choice. Nothing here waits for the device.

    Source: arXiv 2503.02175, algorithm 1 (max-min diversity).
    """
    directions = unit_length(features.float())
    distance = 1 - directions @ directions.transpose(-1, -2)  # [..., num_tokens, num_tokens]
    distance.diagonal(dim1=-2, dim2=-1).fill_(torch.inf)
    chosen = distance.amin(dim=-1).argmax(dim=-1, keepdim=True)  # [..., 1]
    return (kernels.spread if kernels.runs_on(distance.device) else spread)(distance, chosen, keep)


def spread(distance: Tensor, first: Tensor, keep: int) -> Tensor:
    """Choose tokens one by one, each the one farthest from those chosen. Of equals the first is chosen.

    Args:
        distance: `[..., num_tokens, num_tokens]`, float32.
        first: `[..., 1]` int64, the token to begin with.

    Returns:
        `[..., keep]` int64 indices in the order of choice. Nothing here waits for the device.
    """
    chosen, order = first, [first]
    nearest = torch.full_like(distance[..., 0], torch.inf)  # [..., num_tokens]
    for _ in range(keep - 1):
        row = distance.gather(-2, chosen.unsqueeze(-1).expand(*chosen.shape, distance.shape[-1])).squeeze(-2)
        nearest = torch.minimum(nearest, row).scatter(-1, chosen, -torch.inf)  # never again
        chosen = nearest.argmax(dim=-1, keepdim=True)
        order.append(chosen)
    return torch.cat(order, dim=-1)  # [..., keep]


@register_selector("divprune")
def divprune(features: Tensor, keep: int, **_: Any) -> Tensor:
    """Tokens as unlike each other as can be. Source: arXiv 2503.02175 (DivPrune, CVPR 2025)."""
    return diverse_tokens(features, keep)
