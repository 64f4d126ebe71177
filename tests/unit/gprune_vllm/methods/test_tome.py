"""ToMe's merging, held against the same rounds written down with lists of the tokens in each merged one."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gprune_vllm.methods.tome import merge_tokens

Cluster = tuple[int, list[int]]  # its place, and the tokens in it


def mean(tokens: list[list[float]], members: list[int]) -> list[float]:
    return [math.fsum(values) / len(members) for values in zip(*(tokens[member] for member in members), strict=True)]


def cosine(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True)) / math.hypot(*left) / math.hypot(*right)


def reference(tokens: list[list[float]], keep: int) -> list[Cluster]:
    """Section 3 of arXiv 2210.09461, cluster by cluster."""
    clusters: list[Cluster] = [(index, [index]) for index in range(len(tokens))]
    while len(clusters) > keep:
        first, second = clusters[::2], clusters[1::2]
        pairs = []
        for place, (_, members) in enumerate(first):
            alike = [cosine(mean(tokens, members), mean(tokens, others)) for _, others in second]
            pairs.append((max(alike), place, alike.index(max(alike))))
        merges = sorted(pairs, reverse=True)[: min(len(clusters) - keep, len(clusters) // 2)]
        for _, place, target in merges:
            second[target][1].extend(first[place][1])
        gone = {place for _, place, _ in merges}
        clusters = sorted([item for place, item in enumerate(first) if place not in gone] + second)
    return clusters


def scattered(num_tokens: int, hidden_size: int, seed: int) -> Tensor:
    return torch.randn(num_tokens, hidden_size, generator=torch.Generator().manual_seed(seed))


@given(num_tokens=st.integers(2, 30), hidden_size=st.sampled_from([3, 16]), seed=st.integers(0, 10**6), data=st.data())
def test_tokens_merge_as_in_the_paper(num_tokens: int, hidden_size: int, seed: int, data: st.DataObject) -> None:
    tokens = scattered(num_tokens, hidden_size, seed)
    keep = data.draw(st.integers(1, num_tokens))
    merged, expected = merge_tokens(tokens, keep), reference(tokens.double().tolist(), keep)
    assert merged.index.tolist() == [place for place, _ in expected]
    means = torch.tensor([mean(tokens.double().tolist(), members) for _, members in expected])
    torch.testing.assert_close(merged.features, means, rtol=1e-4, atol=1e-5)


def test_worked_out_by_hand() -> None:
    # The sets are tokens 0, 2 and tokens 1, 3: 0 goes to 1 at cosine 1, 2 would go to 3 at cosine 0.6.
    tokens = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 1.0], [0.8, 0.6]])
    merged = merge_tokens(tokens, 3)
    assert merged.index.tolist() == [1, 2, 3]
    torch.testing.assert_close(merged.features, torch.tensor([[2.0, 0.0], [0.0, 1.0], [0.8, 0.6]]))


def test_the_mean_counts_every_token_once_over_several_rounds() -> None:
    tokens = scattered(37, 4, seed=1)
    torch.testing.assert_close(merge_tokens(tokens, 1).features[0], tokens.mean(dim=0))


@pytest.mark.parametrize("keep", [1, 5, 18, 19, 36])
def test_exactly_as_many_are_left_as_asked(keep: int) -> None:
    assert merge_tokens(scattered(37, 4, seed=1), keep).index.shape == (keep,)
