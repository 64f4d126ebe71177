"""ToMe: merge the tokens most alike until as many are left as may stay.

Bolya, Fu, Dai, Zhang, Feichtenhofer, Hoffman: "Token Merging: Your ViT But Faster", ICLR 2023, arXiv 2210.09461.
"""

from typing import Any

import torch
from torch import Tensor

from gprune_vllm.methods.gprune import unit_length
from gprune_vllm.methods.registry import register_merger
from gprune_vllm.methods.selection import Selection


def merge_tokens(features: Tensor, keep: int) -> Selection:
    """Merge tokens by bipartite soft matching, round after round.

    A round deals the tokens alternately to two sets and merges those of the first set into the most alike of the
    second, the best matches first. It removes at most half of the tokens, so that several rounds may be needed; the
    last one merges just as many as must go. A merged token is the mean of all the tokens in it.

    ToMe compares attention keys in each layer of a tower; behind the tower, the features are compared themselves.

    Args:
        features: `[..., num_tokens, hidden_size]`, any floating dtype. Merged in float32.
        keep: how many are left of each group.

    Returns:
        `keep` tokens of each group by ascending index, that of the token the others were merged into.

    Source: arXiv 2210.09461, section 3.
    """
    tokens = features.float()
    sizes = torch.ones_like(tokens[..., 0])  # [..., num_tokens]
    index = torch.arange(tokens.shape[-2], device=tokens.device).expand(sizes.shape)
    while (num_tokens := tokens.shape[-2]) > keep:
        merges = min(num_tokens - keep, num_tokens // 2)
        target = _match(tokens, merges)
        left = _left(target, num_tokens - merges)
        members = (target.unsqueeze(-2) == left.unsqueeze(-1)) * sizes.unsqueeze(-2)  # [..., left, num_tokens]
        sizes = members.sum(dim=-1)  # [..., left]
        tokens = members @ tokens / sizes.unsqueeze(-1)  # [..., left, hidden_size]
        index = index.gather(-1, left)
    return Selection(tokens.to(features.dtype), index)


def _match(tokens: Tensor, merges: int) -> Tensor:
    """Where each of the tokens `[..., num_tokens, hidden_size]` goes in a round: all but `merges` stay in their places.

    Returns:
        `[..., num_tokens]` int64.
    """
    directions = unit_length(tokens)
    similarity = directions[..., ::2, :] @ directions[..., 1::2, :].transpose(-1, -2)  # [..., first set, second set]
    best, match = similarity.max(dim=-1)  # [..., first set]
    moved = best.topk(merges, dim=-1).indices  # [..., merges]
    places = torch.arange(tokens.shape[-2], device=tokens.device).expand(tokens.shape[:-1])
    return places.scatter(-1, 2 * moved, 2 * match.gather(-1, moved) + 1)


def _left(target: Tensor, count: int) -> Tensor:
    """The `count` places of `target` `[..., num_tokens]` that are their own targets, ascending, `[..., count]`."""
    places = torch.arange(target.shape[-1], device=target.device)
    stays = (target == places).int()
    # Stable: those that stay come first, in order.
    return stays.argsort(dim=-1, descending=True, stable=True)[..., :count]


@register_merger("tome")
def tome(features: Tensor, keep: int, **_: Any) -> Selection:
    """Tokens merged in pairs of the most alike. Source: arXiv 2210.09461 (ToMe, ICLR 2023)."""
    return merge_tokens(features, keep)
