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


def gains(tokens: list[list[float]], chosen: list[int], saliency: list[float]) -> list[float]:
    """What each token would add to the coverage by those chosen, times its saliency. Section 3 of arXiv 2510.24214."""
    everyone = range(len(tokens))

    def coverage(by: list[int]) -> float:
        return sum(max([0.0, *(cosine(tokens[token], tokens[other]) for other in by)]) for token in everyone)

    return [(coverage([*chosen, token]) - coverage(chosen)) * saliency[token] for token in everyone]


@given(num_tokens=st.integers(2, 15), seed=st.integers(0, 10**6), data=st.data(), alpha=st.sampled_from([0.0, 1.0]))
def test_each_choice_has_the_largest_gain(num_tokens: int, seed: int, data: st.DataObject, alpha: float) -> None:
    tokens, attention = scattered(num_tokens, 3, seed), scattered(num_tokens, 1, seed + 1).squeeze(1).sigmoid()
    chosen = scope(tokens, data.draw(st.integers(1, num_tokens)), attention=attention, alpha=alpha).tolist()
    saliency = (attention.double() ** alpha).tolist()
    for place, token in enumerate(chosen):
        gain = gains(tokens.double().tolist(), chosen[:place], saliency)
        others = [gain[other] for other in range(num_tokens) if other not in chosen[:place]]
        assert gain[token] == pytest.approx(max(others), abs=1e-5)


def test_worked_out_by_hand() -> None:
    # Three alike, of which the middle one covers most, one across and one opposite, which cover themselves only.
    tokens = torch.tensor([[1.0, 0.1, 0.0], [1.0, 0.0, 0.0], [1.0, -0.1, 0.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]])
    assert covering_tokens(tokens, 3, torch.ones(5)).tolist() == [1, 3, 4]
    assert covering_tokens(tokens, 2, torch.tensor([1.0, 1.0, 1.0, 9.0, 1.0])).tolist() == [3, 1]


def test_what_is_not_salient_is_chosen_last() -> None:
    attention = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0, 1.0])
    assert set(scope(scattered(6, 6, seed=0), 4, attention=attention).tolist()) == {0, 2, 4, 5}


@pytest.mark.parametrize("tokens", [torch.ones(6, 4), torch.zeros(6, 4)], ids=["alike", "zero"])
def test_no_token_is_chosen_twice_where_none_differs(tokens: Tensor) -> None:
    assert sorted(scope(tokens, 6, attention=torch.ones(6)).tolist()) == [*range(6)]
