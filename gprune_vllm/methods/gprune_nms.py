"""G-Prune with non-maximum suppression, so that several equal things in an image each keep tokens."""

from math import sqrt
from typing import Any

from torch import Tensor

from gprune_vllm.methods.registry import register_selector
from gprune_vllm.methods.suppression import Shape, Suppression, choose

_RADIUS_PER_SPACING = 0.7


@register_selector("gprune-nms")
def gprune_nms(features: Tensor, keep: int, *, shape: Shape, **options: Any) -> Tensor:
    """Tokens of the largest information score, after each of which its look-alikes nearby lose of theirs.

    The radius is about the spacing of the tokens that stay. See `gprune_vllm.methods.suppression`.
    """
    how = Suppression(int(_RADIUS_PER_SPACING * sqrt(features.shape[-2] / keep)))
    return choose(features, keep, shape, how, **options)
