"""DivPrune's search, held against the same search written down with lists, in float64."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gprune_vllm.methods.divprune import diverse_tokens


def distance(left: list[float], right: list[float]) -> float:
    product = sum(a * b for a, b in zip(left, right, strict=True))
    return 1 - product / math.hypot(*left) / math.hypot(*right)


def reference(tokens: list[list[float]], keep: int) -> list[int]:
    """Algorithm 1 of arXiv 2503.02175, token by token."""
    everyone = range(len(tokens))

    def to_nearest(token: int, others: list[int]) -> float:
        return min(distance(tokens[token], tokens[other]) for other in others if other != token)

    chosen = [max(everyone, key=lambda token: to_nearest(token, [*everyone]))]
    while len(chosen) < keep:
        left = [token for token in everyone if token not in chosen]
        chosen.append(max(left, key=lambda token: to_nearest(token, chosen)))
    return chosen


def scattered(num_tokens: int, hidden_size: int, seed: int) -> Tensor:
    return torch.randn(num_tokens, hidden_size, generator=torch.Generator().manual_seed(seed))


@given(num_tokens=st.integers(3, 25), hidden_size=st.sampled_from([3, 16]), seed=st.integers(0, 10**6), data=st.data())
def test_tokens_are_chosen_in_the_order_of_the_algorithm(
    num_tokens: int, hidden_size: int, seed: int, data: st.DataObject
) -> None:
    tokens = scattered(num_tokens, hidden_size, seed)
    keep = data.draw(st.integers(1, num_tokens))
    chosen, expected = diverse_tokens(tokens, keep).tolist(), reference(tokens.double().tolist(), keep)
    # Of two that are each other's nearest, which comes first is a matter of rounding.
    assert set(chosen[:2]) & set(expected[:2]) or keep == 1
    if chosen[0] == expected[0]:
        assert chosen == expected


def test_worked_out_by_hand() -> None:
    # Three alike, one across, one opposite: the opposite one has nobody near it.
    tokens = torch.tensor([[1.0, 0.1], [1.0, 0.0], [1.0, -0.1], [0.0, 1.0], [-1.0, -1.0]])
    assert diverse_tokens(tokens, 1).tolist() == [4]
    # From (-1, -1) the farthest is (1, 0.1); then (0, 1), and what is left is alike.
    assert diverse_tokens(tokens, 3).tolist() == [4, 0, 3]


@pytest.mark.parametrize("tokens", [torch.ones(6, 4), torch.zeros(6, 4)], ids=["alike", "zero"])
def test_no_token_is_chosen_twice_where_none_differs(tokens: Tensor) -> None:
    assert sorted(diverse_tokens(tokens, 6).tolist()) == [*range(6)]


def test_a_cluster_is_left_with_one_token() -> None:
    centres = 10 * torch.eye(5).repeat_interleave(8, dim=0)
    chosen = diverse_tokens(centres + 0.1 * scattered(40, 5, seed=0), 5)
    assert sorted((chosen // 8).tolist()) == [*range(5)]
