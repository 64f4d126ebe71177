"""Selection of visual tokens for the second opinion: each method from its paper and released code, slow and simple.

Deliberately without anything from `gprune_vllm`, as is `tests.oracle`.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch

Variant = Literal["released", "paper"]
Method = Literal["gprune", "gprune-nms", "gprune-blend", "l2norm", "divprune", "scope", "tome", "visionzip"]

THRESHOLD = 0.5
TEMPERATURE = 0.03
ITERATIONS = 5


def keep_count(tokens: int, ratio: float) -> int:
    """How many of a group's tokens stay. Rounding first, because (1 - 0.9) * 10 is a little under 1."""
    return max(1, math.floor(round((1 - ratio) * tokens, 6))) if tokens else 0


def edge_weights(features: torch.Tensor, variant: Variant, threshold: float = THRESHOLD) -> torch.Tensor:
    """float32 [n, n], rows sum to 1 and are zero off the edges. From float32 [n, d]."""
    unit = torch.nn.functional.normalize(features, dim=-1)
    cosine = unit @ unit.T  # [n, n]
    edges, temperature = (cosine >= threshold, TEMPERATURE) if variant == "released" else (cosine > threshold, 1.0)
    return (cosine / temperature).masked_fill(~edges, -math.inf).softmax(dim=-1)


def scores(features: torch.Tensor, variant: Variant = "released", threshold: float = THRESHOLD) -> torch.Tensor:
    """float32 [n], the larger the more representative. From [n, d]."""
    features = features.float()
    weights = edge_weights(features, variant, threshold)
    degrees = (weights > 0).sum(dim=-1)
    information: torch.Tensor = features.norm(dim=-1) @ torch.matrix_power(weights, ITERATIONS)
    return information / degrees


def shares(base: int, grid: int, ratio: float, budget: int | None) -> tuple[int, int]:
    """Tokens that stay of the base crop and of the grid."""
    if budget is None:
        return keep_count(base, ratio), keep_count(grid, ratio)
    if budget >= base + grid:
        return base, grid
    kept = max(1, math.floor(budget * base / (base + grid) + 0.5))
    return kept, max(1, budget - kept) if grid else 0


@dataclass(frozen=True, slots=True)
class Group:
    """A group of tokens to choose from, float32: what is compared, and what the tower's read layer made of them."""

    features: torch.Tensor  # [n, d]
    attention: torch.Tensor  # [n], of the class token or the mean of all
    keys: torch.Tensor  # [n, head_dim], mean over heads
    columns: int = 1  # tokens in a row


Kept = tuple[torch.Tensor, torch.Tensor]
"""Places int64 [k], ascending, and what is there afterwards float32 [k, d]."""


def keep(group: Group, count: int, method: Method, variant: Variant = "released", threshold: float = THRESHOLD) -> Kept:
    """The tokens of a group that stay."""
    if count == len(group.features):
        return torch.arange(count), group.features
    if method == "tome":
        return merge_pairs(group.features, count)
    if method == "visionzip":
        return keep_dominant(group, count)
    if method == "divprune":
        index = spread(group.features, count)
    elif method == "scope":
        index = cover(group, count)
    elif method in ("gprune-nms", "gprune-blend"):
        scored = scores(group.features, variant, threshold)
        index = suppress(group, count, scored, threshold, blended=method == "gprune-blend")
    else:
        ranked = group.features.norm(dim=-1) if method == "l2norm" else scores(group.features, variant, threshold)
        index = ranked.topk(count).indices
    index = index.sort().values
    return index, group.features[index]


def spread(features: torch.Tensor, count: int) -> torch.Tensor:
    """int64 [k]: DivPrune's greedy search, arXiv 2503.02175."""
    unit = torch.nn.functional.normalize(features.double(), dim=-1)
    distance = (1 - unit @ unit.T).fill_diagonal_(math.inf)
    chosen = [int(distance.min(dim=0).values.argmax())]
    while len(chosen) < count:
        nearest = distance[chosen].min(dim=0).values
        nearest[chosen] = -1
        chosen.append(int(nearest.argmax()))
    return torch.tensor(chosen)


def suppress(group: Group, count: int, scored: torch.Tensor, threshold: float, blended: bool) -> torch.Tensor:
    """int64 [k]: G-Prune's best, one by one, each of which takes of what is left of its look-alikes nearby.

    Blended, only near-duplicates lose much until some are chosen.
    """
    unit = torch.nn.functional.normalize(group.features.float(), dim=-1)
    cosine, spacing = unit @ unit.T, math.sqrt(len(unit) / count)  # [n, n]
    early = math.floor(count * (1 - count / len(unit)) ** 2) if blended else 0
    radius, exponents = max(1, math.floor(spacing if blended else 0.7 * spacing)), (8, 2) if blended else (1, 1)
    place = torch.arange(len(unit))
    row, column = place // group.columns, place % group.columns
    left = [scored.clone(), scored.clone()]
    chosen: list[int] = []
    while len(chosen) < count:
        best = int(left[len(chosen) >= early].argmax())
        chosen.append(best)
        near = (row - row[best]).abs().maximum((column - column[best]).abs()) <= radius
        alike = near & (cosine[best] >= threshold)
        for scores_left, exponent in zip(left, exponents, strict=True):
            scores_left[alike] *= (1 - cosine[best][alike] ** exponent).clamp_min(0)
            scores_left[chosen] = -1
    return torch.tensor(chosen)


def cover(group: Group, count: int) -> torch.Tensor:
    """int64 [k]: SCOPE's greedy search, arXiv 2510.24214."""
    unit = torch.nn.functional.normalize(group.features.double(), dim=-1)
    cosine, saliency = (unit @ unit.T).clamp_min(0), group.attention.double()
    chosen: list[int] = []
    while len(chosen) < count:
        covered = cosine[chosen].max(dim=0).values if chosen else torch.zeros(len(unit), dtype=torch.float64)
        gain = (cosine - covered).clamp_min(0).sum(dim=-1) * saliency
        gain[chosen] = -1
        chosen.append(int(gain.argmax()))
    return torch.tensor(chosen)


def merge_pairs(features: torch.Tensor, count: int) -> Kept:
    """ToMe's bipartite soft matching, arXiv 2210.09461, with lists of the tokens merged into each place."""
    members = {place: [place] for place in range(len(features))}
    while len(members) > count:
        places = sorted(members)
        means = torch.stack([features[members[place]].double().mean(dim=0) for place in places])
        unit = torch.nn.functional.normalize(means, dim=-1)
        best, match = (unit[::2] @ unit[1::2].T).max(dim=-1)
        merges = min(len(places) - count, len(places) // 2)
        for source in best.argsort(descending=True)[:merges].tolist():
            members[places[1::2][int(match[source])]] += members.pop(places[::2][source])
    index = sorted(members)
    return torch.tensor(index), torch.stack([features[members[place]].mean(dim=0) for place in index])


def keep_dominant(group: Group, count: int) -> Kept:
    """VisionZip, arXiv 2412.04467: 27 of 32 by attention, the others merged into the rest, drawn at even steps."""
    contextual = math.floor(count * 5 / 32 + 0.5)
    kept = group.features.clone()
    others = group.attention.argsort(descending=True)[count - contextual :].sort().values
    targets = others[:: max(1, len(others) // max(1, contextual))][:contextual]
    merged = others[~torch.isin(others, targets)]
    if contextual:
        unit = torch.nn.functional.normalize(group.keys, dim=-1)
        goes_to = targets[(unit[merged] @ unit[targets].T).argmax(dim=-1)]
        for target in targets.tolist():
            if len(came := merged[goes_to == target]):
                kept[target] += group.features[came].mean(dim=0)
    index = torch.ones(len(kept), dtype=torch.bool).index_fill(0, merged, False).nonzero().flatten()
    return index, kept[index]
