"""G-Prune's score the released way: a graph of softmaxed rows, raised to a power."""

import math

import torch
from torch import Tensor

THRESHOLD, TEMPERATURE, ITERATIONS = 0.5, 0.03, 5


def released_top_k(features: Tensor, keep: int) -> Tensor:
    """The `keep` tokens that stay, int64 `[keep]`.

    Args:
        features: `[num_tokens, hidden_size]`. All is computed in their dtype, as it is there.

    Source: arXiv 2501.02268 as its authors released it: cosines below the threshold are masked, each row of the others
    is softmaxed, and the graph's fifth power is divided by the degree.
    """
    directions = torch.nn.functional.normalize(features, dim=-1)
    cosine = directions @ directions.T  # [num_tokens, num_tokens]
    graph = (cosine / TEMPERATURE).masked_fill(cosine < THRESHOLD, -math.inf).softmax(dim=-1)
    degrees = (graph > 0).sum(dim=-1)  # [num_tokens]
    scores = features.norm(dim=-1) @ torch.linalg.matrix_power(graph, ITERATIONS) / degrees
    kept: Tensor = scores.topk(keep).indices
    return kept
