"""VisionZip's selection, held against the same steps written down with lists."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gprune_vllm.methods.visionzip import contextual_count, dominant_tokens


def cosine(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True)) / math.hypot(*left) / math.hypot(*right)


def reference(
    tokens: list[list[float]], attention: list[float], keys: list[list[float]], keep: int
) -> dict[int, list[float]]:
    """Section 3 of arXiv 2412.04467 and its released code: each kept token's place and features."""
    contextual = contextual_count(keep)
    ranked = sorted(range(len(tokens)), key=lambda token: -attention[token])
    kept = {token: tokens[token] for token in ranked[: keep - contextual]}
    others = sorted(ranked[keep - contextual :])
    if not contextual:
        return kept
    targets = others[:: max(1, len(others) // contextual)][:contextual]
    came: dict[int, list[int]] = {target: [] for target in targets}
    for token in others:
        if token not in came:
            came[max(targets, key=lambda target: cosine(keys[token], keys[target]))].append(token)
    for target, guests in came.items():
        columns = zip(*(tokens[guest] for guest in guests), strict=True) if guests else [[0.0]] * len(tokens[0])
        means = [math.fsum(column) / max(1, len(guests)) for column in columns]
        kept[target] = [own + mean for own, mean in zip(tokens[target], means, strict=True)]
    return kept


def scattered(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(num_tokens=st.integers(2, 60), seed=st.integers(0, 10**6), data=st.data(), own_keys=st.booleans())
def test_tokens_are_kept_and_merged_as_in_the_released_code(
    num_tokens: int, seed: int, data: st.DataObject, own_keys: bool
) -> None:
    tokens, keys = scattered(num_tokens, 5, seed=seed), scattered(num_tokens, 3, seed=seed + 1)
    attention = scattered(num_tokens, seed=seed + 2).sigmoid()
    keep = data.draw(st.integers(1, num_tokens - 1))
    kept = dominant_tokens(tokens, keep, attention, keys if own_keys else None).ordered()
    compared = keys if own_keys else tokens
    expected = reference(tokens.tolist(), attention.tolist(), compared.double().tolist(), keep)
    assert kept.index.tolist() == sorted(expected)
    means = torch.tensor([expected[place] for place in sorted(expected)])
    torch.testing.assert_close(kept.features, means, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("keep", "contextual"), [(192, 30), (128, 20), (64, 10), (1, 0), (3, 0), (4, 1), (10, 2)])
def test_the_split_is_the_published_one(keep: int, contextual: int) -> None:
    assert contextual_count(keep) == contextual


def test_worked_out_by_hand() -> None:
    # Four of six: the three with the most attention as they are, and the first of the others with the rest added.
    tokens = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 4.0], [0.0, 3.0], [8.0, 8.0]])
    attention = torch.tensor([0.9, 0.1, 0.2, 0.8, 0.3, 0.7])
    kept = dominant_tokens(tokens, 4, attention).ordered()
    assert kept.index.tolist() == [0, 1, 3, 5]
    assert kept.features.tolist() == [[1.0, 0.0], [2.0, 2.0], [0.0, 4.0], [8.0, 8.0]]
