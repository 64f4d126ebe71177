"""Where the time of G-Prune's score goes."""

from collections.abc import Callable

import torch
from torch import Tensor

from gprune_vllm.graph import cosine_similarity, edge_weights, initial_scores, propagate
from loadtest.benchmarks.released import ITERATIONS, TEMPERATURE, THRESHOLD

GRAM, EDGES, DEGREES, PROPAGATION, TOP_K = "Gram product", "edges", "degrees", "propagation", "top-k"


def parts_of(features: Tensor, keep: int) -> dict[str, Callable[[], object]]:
    """The steps of `gprune_vllm.graph.gprune_scores`, each to be run by itself on what the one before leaves.

    Args:
        features: `[num_tokens, hidden_size]`.
    """
    wide = features.float()
    similarity, initial = cosine_similarity(wide), initial_scores(wide, "l2norm")
    weights = edge_weights(similarity.clone(), THRESHOLD, TEMPERATURE)  # [num_tokens, num_tokens]
    scratch = similarity.clone()
    return {
        GRAM: lambda: (initial_scores(features.float(), "l2norm"), cosine_similarity(features.float())),
        EDGES: lambda: edge_weights(scratch, THRESHOLD, TEMPERATURE),
        DEGREES: lambda: torch.sign(weights).sum(dim=-1),
        PROPAGATION: lambda: propagate(initial, weights, ITERATIONS),
        TOP_K: lambda: initial.topk(keep),
    }
