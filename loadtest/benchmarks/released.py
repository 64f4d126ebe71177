"""G-Prune's score the released way, a graph of softmaxed rows, raised to a power; and the steps of ours."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from gprune_vllm.defaults import ITERATIONS, TEMPERATURE, THRESHOLD
from gprune_vllm.methods.gprune import cosine_similarity, edge_weights, initial_scores, propagate


def released_top_k(features: Tensor, keep: int) -> Tensor:
    """Select the `keep` tokens that stay, int64 `[keep]`.

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


def parts_of(features: Tensor, keep: int) -> dict[str, Callable[[], object]]:
    """Name the steps of `gprune_scores`, each to be run by itself on what the one before leaves.

    Args:
        features: `[num_tokens, hidden_size]`.
    """
    wide = features.float()
    similarity, initial = cosine_similarity(wide), initial_scores(wide, "l2norm")
    weights = edge_weights(similarity.clone(), THRESHOLD, TEMPERATURE)  # [num_tokens, num_tokens]
    return {
        "Gram product": lambda: (initial_scores(features.float(), "l2norm"), cosine_similarity(features.float())),
        "edges": lambda: edge_weights(similarity, THRESHOLD, TEMPERATURE),
        "degrees": lambda: torch.sign(weights).sum(dim=-1),
        "propagation": lambda: propagate(initial, weights, ITERATIONS),
        "top-k": lambda: initial.topk(keep),
    }
