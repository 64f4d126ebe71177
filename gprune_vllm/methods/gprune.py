"""G-Prune's information score: visual tokens as a graph, their L2 norms propagated over it.

Jiang, Wu, Lin, Yu, Zhou: "What Kind of Visual Tokens Do We Need? Training-free Visual Token Pruning for Multi-modal
Large Language Models from the Perspective of Graph", AAAI 2025, arXiv 2501.02268. Symbols below are the paper's.
"""

from typing import Any, Literal

import torch
from torch import Tensor

from gprune_vllm.defaults import ITERATIONS, TEMPERATURE, THRESHOLD
from gprune_vllm.methods.registry import register_selector

Score = Literal["l2norm", "ones"]
Similarity = Literal["cosine", "euclidean"]

# Shorter tokens have no direction that float32 could tell: they are joined to nothing but themselves.
_SMALLEST_NORM = 1e-12
# Rows of blocks that a matrix of products is computed in.
_BLOCKS = 8


def gprune_scores(
    features: Tensor,
    threshold: float = THRESHOLD,
    temperature: float | None = TEMPERATURE,
    iterations: int = ITERATIONS,
    score: Score = "l2norm",
    similarity: Similarity = "cosine",
    graph: bool = True,
) -> Tensor:
    """Score visual tokens by how well they represent the others.

    Args:
        features: X, `[..., num_tokens, hidden_size]`, any floating dtype. Leading dimensions are independent graphs.
        threshold: s; tokens are joined where their similarity reaches it.
        temperature: of the row softmax over the edges, as in the authors' released code. None gives the paper's
            Algorithm 1: edges strictly above the threshold and a softmax without temperature. It is read as
            normalising over the edges only; over whole rows no entry would be zero, and no degree less than N.
        iterations: t; how often the score is propagated.
        score: S⁰, each token's L2 norm or 1.
        similarity: between tokens, see `cosine_similarity` and `euclidean_similarity`.
        graph: False returns S⁰ as it is, for the paper's ablation.

    Returns:
        S', `[..., num_tokens]`, float32: half precision ties and flips neighbouring scores.

    Raises:
        ValueError: the temperature is not positive.
        KeyError: there is no such similarity.

    Source: equations 1 to 5. A is never raised to a power: propagating the row vector costs `iterations * N^2`. The
    unnormalised weights are symmetric, so `s @ A` is `weights @ (s / row_sums)` and A itself is never formed.
    """
    if temperature is not None and temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    features = features.float()
    initial = initial_scores(features, score)  # [..., num_tokens]
    if not graph:
        return initial
    return graph_scores(initial, SIMILARITIES[similarity](features), threshold, temperature, iterations)


def graph_scores(
    initial: Tensor, similarity: Tensor, threshold: float, temperature: float | None, iterations: int
) -> Tensor:
    """Propagate scores over the graph, and divide each by its token's degree. Equations 1, 3 and 5.

    Args:
        initial: `[..., num_tokens]`, float32.
        similarity: `[..., num_tokens, num_tokens]`, float32, symmetric. It is overwritten.

    Returns:
        `[..., num_tokens]`, float32.
    """
    weights = edge_weights(similarity, threshold, temperature)
    degrees = torch.sign(weights).sum(dim=-1)  # [..., num_tokens]
    return propagate(initial, weights, iterations) / degrees


def initial_scores(features: Tensor, score: Score) -> Tensor:
    """S⁰, `[..., num_tokens]`, of `features` `[..., num_tokens, hidden_size]`, float32. Equation 2, or simply 1."""
    norms: Tensor = torch.linalg.vector_norm(features, dim=-1)
    return norms if score == "l2norm" else torch.ones_like(norms)


def unit_length(features: Tensor) -> Tensor:
    """Directions of `features` `[..., num_tokens, hidden_size]`, float32; a token next to nothing has none."""
    norms: Tensor = torch.linalg.vector_norm(features, dim=-1)  # [..., num_tokens]
    return features / norms.clamp_min(_SMALLEST_NORM).unsqueeze(-1)


def products(tokens: Tensor) -> Tensor:
    """Scalar products of all pairs of `tokens` `[..., num_tokens, hidden_size]`, `[..., num_tokens, num_tokens]`.

    On a CPU they are most of what a score costs. There they are computed for one of two mirrored blocks only; a GPU
    would rather have a single product.
    """
    num_tokens = tokens.shape[-2]
    if tokens.is_cuda or num_tokens < _BLOCKS**2:
        return tokens @ tokens.transpose(-1, -2)
    result = tokens.new_empty(*tokens.shape[:-1], num_tokens)
    step = -(-num_tokens // _BLOCKS)
    for start in range(0, num_tokens, step):
        end = start + step
        block = tokens[..., start:end, :] @ tokens[..., start:, :].transpose(-1, -2)  # [..., step, num_tokens - start]
        result[..., start:end, start:] = block
        result[..., end:, start:end] = block[..., step:].transpose(-1, -2)
    return result


def cosine_similarity(features: Tensor) -> Tensor:
    """Cosines between tokens, zero where one is next to nothing.

    Args:
        features: `[..., num_tokens, hidden_size]`, float32.

    Returns:
        `[..., num_tokens, num_tokens]`, float32, symmetric.
    """
    return products(unit_length(features))


def euclidean_similarity(features: Tensor) -> Tensor:
    """Negative Euclidean distances between tokens, on the scale of a cosine.

    A distance alone has no threshold that suits all images. So it is measured in units of twice the tokens' mean
    length and taken from one: 1 for equal tokens, 0 for opposite ones of mean length. A threshold of 0.5 joins tokens
    no further apart than one mean length, which are those of cosine 0.5 where all are of the same length.

    Args:
        features: `[..., num_tokens, hidden_size]`, float32.

    Returns:
        `[..., num_tokens, num_tokens]`, float32, symmetric.
    """
    norms: Tensor = torch.linalg.vector_norm(features, dim=-1)  # [..., num_tokens]
    unit = (2 * norms.mean(dim=-1, keepdim=True)).clamp_min(_SMALLEST_NORM)  # [..., 1]
    features, squares = features / unit.unsqueeze(-1), (norms / unit).square()
    distance: Tensor = (squares.unsqueeze(-1) + squares.unsqueeze(-2) - 2 * products(features)).clamp_min_(0).sqrt_()
    return 1 - distance


SIMILARITIES = {"cosine": cosine_similarity, "euclidean": euclidean_similarity}


def edge_weights(similarity: Tensor, threshold: float, temperature: float | None) -> Tensor:
    """Exponentials of the similarities along the edges, zero elsewhere: the row softmax before its division.

    Equation 1. A token is always joined to itself, also when its features are all zero and the cosine is undefined.

    Args:
        similarity: `[..., num_tokens, num_tokens]`, float32, symmetric. It is overwritten.

    Returns:
        `[..., num_tokens, num_tokens]`, float32, symmetric.
    """
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


@register_selector("gprune")
def gprune(
    features: Tensor,
    keep: int,
    threshold: float = THRESHOLD,
    temperature: float | None = TEMPERATURE,
    iterations: int = ITERATIONS,
    score: Score = "l2norm",
    similarity: Similarity = "cosine",
    graph: bool = True,
    **_: Any,
) -> Tensor:
    """The tokens with the largest information score. Source: arXiv 2501.02268, equation 6.

    Without the graph, they are those with the largest initial score: the rows of its table 2.
    """
    scores = gprune_scores(features, threshold, temperature, iterations, score, similarity, graph)
    return scores.topk(keep, dim=-1).indices
