"""Features as another batch leaves them: the same but for the last bit of bfloat16."""

import torch
from torch import Tensor

ROUNDING = 2.0**-8
"""Largest relative error of rounding to bfloat16."""


def rounded_otherwise(features: Tensor, batch: int) -> Tensor:
    """Features `[..., size]` of a dtype that `batch` has changed by no more than bfloat16 rounds by."""
    generator = torch.Generator().manual_seed(batch)
    error = ROUNDING * (2 * torch.rand(features.shape, generator=generator) - 1)
    return (features.float() * (1 + error)).to(features.dtype)
