"""SCOPE's search, held against the same search written down with lists, in float64."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gprune_vllm.methods.scope import covering_tokens, scope


def scattered(num_tokens: int, hidden_size: int, seed: int) -> Tensor:
    return torch.randn(num_tokens, hidden_size, generator=torch.Generator().manual_seed(seed))


def cosine(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True)) / math.hypot(*left) / math.hypot(*right)


def reference(tokens: list[list[float]], keep: int, saliency: list[float]) -> list[int]:
    """The search of arXiv 2510.24214, token by token."""
    everyone, chosen = range(len(tokens)), list[int]()

    def coverage(by: list[int]) -> float:
        return sum(max([0.0, *(cosine(tokens[token], tokens[other]) for other in by)]) for token in everyone)

    while len(chosen) < keep:
        left = [token for token in everyone if token not in chosen]
        before = coverage(chosen)
        chosen.append(max(left, key=lambda token: (coverage([*chosen, token]) - before) * saliency[token]))
    return chosen


@given(num_tokens=st.integers(2, 15), seed=st.integers(0, 10**6), data=st.data(), alpha=st.sampled_from([0.0, 1.0]))
def test_tokens_are_chosen_in_the_order_of_the_search(
    num_tokens: int, seed: int, data: st.DataObject, alpha: float
) -> None:
    tokens, attention = scattered(num_tokens, 3, seed), scattered(num_tokens, 1, seed + 1).squeeze(1).sigmoid()
    keep = data.draw(st.integers(1, max(1, num_tokens // 2)))
    saliency = (attention.double() ** alpha).tolist()
    chosen = scope(tokens, keep, attention=attention, alpha=alpha).tolist()
    assert chosen == reference(tokens.double().tolist(), keep, saliency)


def test_worked_out_by_hand() -> None:
    # Three alike, one across and one opposite. Alone, the middle one of the three covers most.
    tokens = torch.tensor([[1.0, 0.1], [1.0, 0.0], [1.0, -0.1], [0.0, 1.0], [-1.0, 0.0]])
    assert covering_tokens(tokens, 3, torch.ones(5)).tolist()[0] == 1
    assert set(covering_tokens(tokens, 3, torch.ones(5)).tolist()) == {1, 3, 4}
    assert covering_tokens(tokens, 2, torch.tensor([1.0, 1.0, 1.0, 9.0, 1.0])).tolist() == [3, 1]


def test_what_is_not_salient_is_chosen_last() -> None:
    attention = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0, 1.0])
    assert set(scope(scattered(6, 6, seed=0), 4, attention=attention).tolist()) == {0, 2, 4, 5}


@pytest.mark.parametrize("tokens", [torch.ones(6, 4), torch.zeros(6, 4)], ids=["alike", "zero"])
def test_no_token_is_chosen_twice_where_none_differs(tokens: Tensor) -> None:
    assert sorted(scope(tokens, 6, attention=torch.ones(6)).tolist()) == [*range(6)]
