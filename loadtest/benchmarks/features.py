"""Visual tokens to select from, as a vision tower might have left them."""

from math import isqrt
from typing import Any

import torch
from torch import Tensor

CENTRES = 16
HEAD_SIZE = 64


def features_of(num_tokens: int, hidden_size: int, dtype: torch.dtype, device: str, seed: int = 0) -> Tensor:
    """Draw features `[num_tokens, hidden_size]` about a few centres, some near and some far, of different lengths.

    Of all pairs about one in twenty is alike enough for an edge.
    """
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(CENTRES, hidden_size, generator=generator)
    distance = 0.2 + 0.8 * torch.rand(num_tokens, 1, generator=generator)
    noise = torch.randn(num_tokens, hidden_size, generator=generator)
    features = centres[torch.randint(CENTRES, (num_tokens,), generator=generator)] + distance * noise
    return (features * torch.rand(num_tokens, 1, generator=generator).exp()).to(dtype).to(device)


def shape_of(num_tokens: int) -> tuple[int, int]:
    """Rows and columns of as square a grid as the number of tokens allows."""
    rows = max(rows for rows in range(1, isqrt(num_tokens) + 1) if num_tokens % rows == 0)
    return rows, num_tokens // rows


def seen_of(num_tokens: int, device: str, seed: int = 0) -> dict[str, Any]:
    """Draw what a tower might have attended to, for methods that ask."""
    generator = torch.Generator().manual_seed(seed)
    attention = torch.rand(num_tokens, generator=generator)
    return {
        "attention": attention.to(device),
        "keys": torch.randn(num_tokens, HEAD_SIZE, generator=generator).to(device),
    }
