"""SCOPE: keep salient tokens that cover the others.

Deng, Li, Zhou, Yang: "SCOPE: Saliency-Coverage Oriented Token Pruning for Efficient Multimodal LLMs", NeurIPS 2025,
arXiv 2510.24214.
"""

from typing import Any

import torch
from torch import Tensor

from gprune_vllm.methods.gprune import cosine_similarity
from gprune_vllm.methods.registry import register_selector

ALPHA = 1.0
"""Exponent of the saliency, as in the authors' released code."""


def covering_tokens(features: Tensor, keep: int, saliency: Tensor) -> Tensor:
    """Choose tokens one by one, each the one with the largest gain in coverage, weighted by its saliency.

    A token is covered as far as it is like a chosen one: by the largest cosine similarity, at least 0. Of equals the
    first is chosen.

    Args:
        features: `[..., num_tokens, hidden_size]`, any floating dtype. Scored in float32.
        keep: how many to choose of each group, at least one and at most all.
        saliency: `[..., num_tokens]`, float32, not negative. Ones maximise coverage alone (facility location).

    Returns:
        `[..., keep]` int64 indices in the order of choice. Nothing here waits for the device.

    Source: arXiv 2510.24214, section 3. A choice compares all pairs, so it costs `keep * num_tokens ** 2`.
    """
    similarity = cosine_similarity(features.float())  # [..., num_tokens, num_tokens]
    covered, chosen_before = torch.zeros_like(saliency), torch.zeros_like(saliency)  # [..., num_tokens]
    order, uncovered = [], torch.empty_like(similarity)
    for _ in range(keep):
        torch.sub(similarity, covered.unsqueeze(-2), out=uncovered)
        gain = uncovered.clamp_min_(0).sum(dim=-1) * saliency - chosen_before
        chosen = gain.argmax(dim=-1, keepdim=True)  # [..., 1]
        row = similarity.gather(-2, chosen.unsqueeze(-1).expand(*chosen.shape, similarity.shape[-1])).squeeze(-2)
        covered = torch.maximum(covered, row)
        chosen_before.scatter_(-1, chosen, torch.inf)  # never again
        order.append(chosen)
    return torch.cat(order, dim=-1)  # [..., keep]


@register_selector("scope", needs_attention=True)
def scope(features: Tensor, keep: int, *, attention: Tensor, alpha: float = ALPHA, **_: Any) -> Tensor:
    """Salient tokens that cover the others, saliency being what the tower attends to. Source: arXiv 2510.24214.

    With `alpha` 0 they cover the others, salient or not.
    """
    return covering_tokens(features, keep, attention.float() ** alpha)
