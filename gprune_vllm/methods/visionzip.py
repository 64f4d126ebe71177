"""VisionZip: keep the tokens that the vision tower attends to, and merge the others into a few.

Yang, Chen, Tian, Wang, Li, Yu, Jia: "VisionZip: Longer is Better but Not Necessary in Vision Language Models", CVPR
2025, arXiv 2412.04467.
"""

from typing import Any

import torch
from torch import Tensor

from gprune_vllm.methods.gprune import unit_length
from gprune_vllm.methods.registry import register_merger
from gprune_vllm.methods.selection import Selection, take


def contextual_count(keep: int) -> int:
    """How many of the tokens kept are merged ones: 5 of 32, the proportion of all the published pairs.

    Source: arXiv 2412.04467, where 30 of 192, 20 of 128 and 10 of 64 tokens are contextual.
    """
    return (10 * keep + 32) // 64  # to the nearest


def dominant_tokens(features: Tensor, keep: int, attention: Tensor, keys: Tensor | None = None) -> Selection:
    """Keep the dominant tokens and merge the others into contextual ones.

    Dominant tokens are those with the most attention. Of the others, as many as there are to be contextual tokens are
    drawn at even steps; each of the rest goes to that one whose key is most like its own, which adds the mean of
    those that came to itself, as in the authors' released code.

    The published code selects in every crop by itself. Here a group may span several crops, each of which attends to
    itself alone; their attention is compared as it is.

    Args:
        features: `[..., num_tokens, hidden_size]`, any floating dtype. Merged in float32.
        keep: how many tokens stay of each group.
        attention: `[..., num_tokens]`, what the tower's class token attends to, or its patches do in the mean.
        keys: `[..., num_tokens, head_size]`, the tokens' keys, mean over heads. None compares features instead.

    Returns:
        `keep` tokens of each group, in any order.

    Source: arXiv 2412.04467, section 3.
    """
    contextual = contextual_count(keep)
    ranking = attention.float().argsort(dim=-1, descending=True, stable=True)  # [..., num_tokens]
    dominant, others = ranking[..., : keep - contextual], ranking[..., keep - contextual :].sort(dim=-1).values
    kept = take(features, dominant)  # [..., dominant, hidden_size]
    if not contextual:
        return Selection(kept, dominant)
    merged = _merge(take(features, others), take(features if keys is None else keys, others), contextual)
    return Selection(
        torch.cat((kept, merged.features), dim=-2),
        torch.cat((dominant, others.gather(-1, merged.index)), dim=-1),
    )


def _merge(features: Tensor, keys: Tensor, count: int) -> Selection:
    """Merge `features` `[..., num_others, hidden_size]` into `count` of them, by their keys."""
    num_others = features.shape[-2]
    places = torch.arange(num_others, device=features.device)
    target = places[:: num_others // count][:count]  # [count]
    directions = unit_length(keys.float())
    similarity = directions @ directions[..., target, :].transpose(-1, -2)  # [..., num_others, count]
    members = similarity.argmax(dim=-1).unsqueeze(-2) == torch.arange(count, device=features.device).unsqueeze(-1)
    members = (members & ~_is_target(places, target)).float()  # [..., count, num_others]
    mean = members @ features.float() / members.sum(dim=-1, keepdim=True).clamp_min(1)  # [..., count, hidden_size]
    merged = features[..., target, :] + mean
    return Selection(merged.to(features.dtype), target.expand(*features.shape[:-2], count))


def _is_target(places: Tensor, target: Tensor) -> Tensor:
    """Which of the places are targets, `[num_others]` bool."""
    return (places.unsqueeze(-1) == target).any(dim=-1)


@register_merger("visionzip", needs_attention=True)
def visionzip(features: Tensor, keep: int, *, attention: Tensor, keys: Tensor | None = None, **_: Any) -> Selection:
    """Tokens the tower attends to, and the others merged. Source: arXiv 2412.04467 (VisionZip, CVPR 2025)."""
    return dominant_tokens(features, keep, attention, keys)
