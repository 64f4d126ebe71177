"""G-Prune's information score: visual tokens as a graph, their L2 norms propagated over it.

Jiang, Wu, Lin, Yu, Zhou: "What Kind of Visual Tokens Do We Need? Training-free Visual Token Pruning for Multi-modal
Large Language Models from the Perspective of Graph", AAAI 2025, arXiv 2501.02268. Symbols below are the paper's.
"""

import torch
from torch import Tensor

# Shorter tokens have no direction that float32 could tell: they are joined to nothing but themselves.
_SMALLEST_NORM = 1e-12


def gprune_scores(
    features: Tensor, threshold: float = 0.5, temperature: float | None = 0.03, iterations: int = 5
) -> Tensor:
    """Score visual tokens by how well they represent the others.

    Args:
        features: X, `[..., num_tokens, hidden_size]`, any floating dtype. Leading dimensions are independent graphs.
        threshold: s; tokens are joined where their cosine similarity reaches it.
        temperature: of the row softmax over the edges, as in the authors' released code. None gives the paper's
            Algorithm 1: edges strictly above the threshold and a softmax without temperature. It is read as
            normalising over the edges only; over whole rows no entry would be zero, and no degree less than N.
        iterations: t; how often the score is propagated.

    Returns:
        S', `[..., num_tokens]`, float32: half precision ties and flips neighbouring scores.

    Raises:
        ValueError: the temperature is not positive.

    Source: equations 1 to 5. A is never raised to a power: propagating the row vector costs `iterations * N^2`. The
    unnormalised weights are symmetric, so `s @ A` is `weights @ (s / row_sums)` and A itself is never formed.
    """
    if temperature is not None and temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    features = features.float()
    norms = torch.linalg.vector_norm(features, dim=-1)  # [..., num_tokens]
    weights = edge_weights(features, norms, threshold, temperature)  # [..., num_tokens, num_tokens]
    degrees = torch.sign(weights).sum(dim=-1)  # [..., num_tokens]
    scores = propagate(norms, weights, iterations)  # [..., num_tokens]
    return scores / degrees


def edge_weights(features: Tensor, norms: Tensor, threshold: float, temperature: float | None) -> Tensor:
    """Exponentials of the similarities along the edges, zero elsewhere: the row softmax before its division.

    Equation 1. A token is always joined to itself, also when its features are all zero and the cosine is undefined.

    Args:
        features: `[..., num_tokens, hidden_size]`, float32.
        norms: `[..., num_tokens]`, their L2 norms.

    Returns:
        `[..., num_tokens, num_tokens]`, float32, symmetric.
    """
    directions = features / norms.clamp_min(_SMALLEST_NORM).unsqueeze(-1)
    similarity = directions @ directions.transpose(-1, -2)  # [..., num_tokens, num_tokens]
    similarity.diagonal(dim1=-2, dim2=-1).fill_(1.0)
    edges = similarity > threshold if temperature is None else similarity >= threshold
    edges.diagonal(dim1=-2, dim2=-1).fill_(True)
    # The largest logit of a row is its own, 1 / temperature: subtracting it keeps the exponential in range.
    return similarity.sub_(1.0).div_(temperature or 1.0).exp_().mul_(edges)


def propagate(scores: Tensor, weights: Tensor, iterations: int) -> Tensor:
    """Multiply the row vector `scores` by the row-softmaxed graph, `iterations` times. Equation 3.

    Args:
        scores: `[..., num_tokens]`, float32.
        weights: `[..., num_tokens, num_tokens]`, float32, symmetric.

    Returns:
        `[..., num_tokens]`, float32.
    """
    row_sums = weights.sum(dim=-1)  # [..., num_tokens]
    for _ in range(iterations):
        scores = (weights @ (scores / row_sums).unsqueeze(-1)).squeeze(-1)  # [..., num_tokens]
    return scores
