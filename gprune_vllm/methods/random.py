"""Tokens drawn at random, the same ones whenever the same image is encoded again."""

from typing import Any

import torch
from torch import Tensor

from gprune_vllm.methods.registry import register_selector


def draw_tokens(features: Tensor, keep: int, seed: int | None = None) -> Tensor:
    """Draw tokens uniformly without replacement.

    The draw depends on the content only, so that an image encoded again keeps the same tokens.

    Args:
        features: `[..., num_tokens, hidden_size]`, any floating dtype.
        keep: how many to draw of each group.
        seed: names the content where the caller knows a more stable name for it than the features' own bits.

    Returns:
        `[..., keep]` int64 indices.
    """
    # A filled tensor, not a copied one: copying a number to the device would wait for it.
    content = _content_seed(features) if seed is None else _mix(torch.full((), seed, device=features.device))
    ticket = torch.arange(features.shape[-2], device=features.device) + content.unsqueeze(-1)
    return _mix(ticket.expand(features.shape[:-1])).topk(keep, dim=-1).indices


def _content_seed(features: Tensor) -> Tensor:
    """A seed of each group, `[...]` int64, from the bits of `features` `[..., num_tokens, hidden_size]`."""
    bits = features.float().view(torch.int32).long().flatten(-2)  # [..., num_tokens * hidden_size]
    places = torch.arange(bits.shape[-1], device=bits.device)
    return _mix((bits * (2 * places + 1)).sum(dim=-1))


def _mix(values: Tensor) -> Tensor:
    """Scramble int64 values one to one. Source: the finaliser of SplitMix64 (Steele, Lea, Flood, 2014)."""
    values = (values ^ (values >> 30 & 0x3FFFFFFFF)) * -0x40A7B892E31B1A47
    values = (values ^ (values >> 27 & 0x1FFFFFFFFF)) * -0x6B2FB644ECCEEE15
    return values ^ (values >> 31 & 0x1FFFFFFFF)


@register_selector("random")
def random(features: Tensor, keep: int, seed: int | None = None, **_: Any) -> Tensor:
    """Tokens drawn uniformly without replacement. Source: arXiv 2501.02268, the "Random" rows of table 1."""
    return draw_tokens(features, keep, seed)
