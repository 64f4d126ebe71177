"""G-Prune with suppression, held against the same search written down with lists."""

from collections.abc import Callable
from itertools import product
from math import floor, sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gprune_vllm.methods.gprune import cosine_similarity, gprune_scores
from gprune_vllm.methods.gprune_blend import gprune_blend
from gprune_vllm.methods.gprune_nms import gprune_nms
from gprune_vllm.methods.suppression import neighbours

CPU = torch.device("cpu")
BOTH = pytest.mark.parametrize("method", [gprune_nms, gprune_blend])


def scattered(num_tokens: int, hidden_size: int, seed: int) -> Tensor:
    return torch.randn(num_tokens, hidden_size, generator=torch.Generator().manual_seed(seed))


def reference(
    method: Callable[..., Tensor], tokens: Tensor, keep: int, columns: int, threshold: float
) -> tuple[list[int], int]:
    """The search, token by token, with the float32 scores and cosines of G-Prune, and how many are chosen early."""
    spacing = sqrt(len(tokens) / keep)
    if method is gprune_nms:
        radius, first, exponents = max(1, floor(0.7 * spacing)), 0, (1, 1)
    else:
        radius, first, exponents = floor(spacing), floor(keep * (1 - keep / len(tokens)) ** 2), (8, 2)
    scores, cosines = gprune_scores(tokens, threshold=threshold).tolist(), cosine_similarity(tokens).tolist()
    left, order = [list(scores), list(scores)], list[int]()
    for step in range(keep):
        chosen = max((token for token in range(len(tokens)) if token not in order), key=left[step >= first].__getitem__)
        order.append(chosen)
        for token, late in product(range(len(tokens)), (0, 1)):
            apart = max(abs(chosen // columns - token // columns), abs(chosen % columns - token % columns))
            alike = min(1.0, max(0.0, cosines[chosen][token]))
            if apart <= radius and alike >= threshold:
                left[late][token] *= 1 - alike ** exponents[late]
    return order, first


@BOTH
@given(
    rows=st.integers(1, 7),
    columns=st.integers(2, 7),
    threshold=st.sampled_from([-0.5, 0.2, 0.5]),
    seed=st.integers(0, 10**6),
    data=st.data(),
)
def test_tokens_are_chosen_in_the_order_of_the_search(
    method: Callable[..., Tensor], rows: int, columns: int, threshold: float, seed: int, data: st.DataObject
) -> None:
    tokens = scattered(rows * columns, 3, seed)
    keep = data.draw(st.integers(1, rows * columns))
    chosen = method(tokens, keep, shape=(rows, columns), threshold=threshold)
    expected, _ = reference(method, tokens, keep, columns, threshold)
    # Products of float32 and of float64 tie and flip in the end only, where next to nothing is left.
    safe = min(keep, max(1, keep // 2))
    assert chosen[:safe].tolist() == expected[:safe]


@BOTH
def test_of_three_equal_things_each_keeps_a_token(method: Callable[..., Tensor]) -> None:
    # A background of one kind, and three equal things of 2 x 2 tokens far apart, which G-Prune makes one of.
    picture = torch.tensor([1.0, 0.0, 0.0]).repeat(6, 18, 1)
    places = [(2, 2), (2, 8), (2, 14)]
    for row, column in places:
        picture[row : row + 2, column : column + 2] = torch.tensor([0.0, 1.5, 0.0])
    tokens = picture.flatten(0, 1) + 0.01 * scattered(108, 3, seed=0)
    kept = method(tokens, 8, shape=(6, 18)).tolist()
    for row, column in places:
        assert any(token // 18 in (row, row + 1) and token % 18 in (column, column + 1) for token in kept)


@BOTH
def test_look_alikes_side_by_side_are_left_with_one(method: Callable[..., Tensor]) -> None:
    tokens = 10 * torch.eye(4).repeat_interleave(2, dim=0)  # pairs in a row of eight
    assert sorted((method(tokens, 4, shape=(1, 8)) // 2).tolist()) == [0, 1, 2, 3]


def test_look_alikes_far_apart_do_not_count() -> None:
    tokens = torch.eye(9)
    tokens[8] = tokens[0] = 3 * tokens[0]
    assert gprune_nms(tokens, 2, shape=(1, 9)).tolist() == [0, 8]
    tokens[1] = tokens[0]
    assert gprune_nms(tokens[:8], 2, shape=(1, 8)).tolist() == [0, 2]


@pytest.mark.parametrize("tokens", [torch.ones(12, 4), torch.zeros(12, 4)], ids=["alike", "zero"])
@BOTH
def test_no_token_is_chosen_twice_where_none_differs(method: Callable[..., Tensor], tokens: Tensor) -> None:
    assert sorted(method(tokens, 12, shape=(3, 4)).tolist()) == [*range(12)]


def test_of_equals_the_first_is_chosen() -> None:
    assert gprune_nms(torch.eye(9), 4, shape=(3, 3)).tolist() == [0, 1, 2, 3]


@given(rows=st.integers(1, 6), columns=st.integers(1, 6), radius=st.integers(1, 4))
def test_neighbours_are_those_within_the_radius(rows: int, columns: int, radius: int) -> None:
    window = neighbours((rows, columns), radius, CPU)
    assert window.shape == (rows * columns, (2 * radius + 1) ** 2)
    for token, near in enumerate(window.tolist()):
        row, column = divmod(token, columns)
        assert set(near) == {
            r * columns + c
            for r in range(max(0, row - radius), min(rows, row + radius + 1))
            for c in range(max(0, column - radius), min(columns, column + radius + 1))
        }
