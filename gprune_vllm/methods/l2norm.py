"""The longest tokens: G-Prune's initial score without its graph."""

from typing import Any

import torch
from torch import Tensor

from gprune_vllm.methods.registry import register_selector


@register_selector("l2norm")
def l2norm(features: Tensor, keep: int, **_: Any) -> Tensor:
    """The tokens with the largest L2 norm. Source: arXiv 2501.02268, the "L2 only" row of table 2."""
    norms: Tensor = torch.linalg.vector_norm(features.float(), dim=-1)
    return norms.topk(keep, dim=-1).indices
