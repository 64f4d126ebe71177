"""G-Prune first, and suppression after it: as good at reading as G-Prune, and better at what there is several of."""

from math import sqrt
from typing import Any

from torch import Tensor

from gprune_vllm.methods.registry import register_selector
from gprune_vllm.methods.suppression import Shape, Suppression, choose

EARLY_EXPONENT, EXPONENT = 8, 2
"""Of the similarity. One minus its square is the share of a token's energy that is orthogonal to the chosen one."""


@register_selector("gprune-blend")
def gprune_blend(features: Tensor, keep: int, *, shape: Shape, **options: Any) -> Tensor:
    """Tokens of the largest information score but for near-duplicates; then look-alikes nearby lose of their scores.

    What scores highest, such as text, is often alike, and would suffer if it were suppressed. The fewer tokens stay,
    the more of them are chosen first: the share (1 - k / n)² of k tokens that stay of n. Their spacing, √(n / k), is
    the radius.
    """
    num_tokens = features.shape[-2]
    early = int(keep * (1 - keep / num_tokens) ** 2)
    how = Suppression(int(sqrt(num_tokens / keep)), early, EARLY_EXPONENT, EXPONENT)
    return choose(features, keep, shape, how, **options)
