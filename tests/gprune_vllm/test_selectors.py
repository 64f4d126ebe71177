"""What every selector promises, and what each does."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gprune_vllm import selectors
from gprune_vllm.graph import gprune_scores
from gprune_vllm.selectors import register_selector, select_tokens, selector_names

METHODS = pytest.mark.parametrize("method", ["gprune", "l2norm", "random"])


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry of which nothing outlives the test."""
    monkeypatch.setattr(selectors, "_SELECTORS", dict(selectors._SELECTORS))


@METHODS
@given(data=st.data(), num_tokens=st.integers(1, 50), dtype=st.sampled_from([torch.float32, torch.bfloat16]))
def test_a_selection_is_ascending_without_repetition(
    method: str, data: st.DataObject, num_tokens: int, dtype: torch.dtype
) -> None:
    keep = data.draw(st.integers(0, num_tokens))
    kept = select_tokens(features(num_tokens, 4, seed=num_tokens).to(dtype), keep, method)
    assert kept.dtype == torch.int64
    assert kept.shape == (keep,)
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert set(kept.tolist()) <= set(range(num_tokens))


@METHODS
@pytest.mark.parametrize("keep", [0, 7, 20])
def test_leading_dimensions_are_groups_of_their_own(method: str, keep: int) -> None:
    groups = features(2, 3, 20, 4)
    kept = select_tokens(groups, keep, method)
    assert kept.shape == (2, 3, keep)
    expected = [select_tokens(group, keep, method) for group in groups.flatten(0, 1)]
    assert torch.equal(kept.flatten(0, 1), torch.stack(expected))


@METHODS
@pytest.mark.parametrize("keep", [-1, 11])
def test_keeping_fewer_than_none_or_more_than_all_is_refused(method: str, keep: int) -> None:
    with pytest.raises(ValueError, match=f"keep must be between 0 and 10, got {keep}"):
        select_tokens(features(10, 4), keep, method)


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown method 'best'; registered are gprune, l2norm, random$"):
        select_tokens(features(10, 4), 5, "best")


def test_options_of_other_methods_are_ignored() -> None:
    everything: dict[str, Any] = {"seed": 1, "threshold": 0.1, "temperature": 0.1, "iterations": 1, "of_another": 1}
    for method in selector_names():
        assert select_tokens(features(10, 4), 5, method, **everything).shape == (5,)


@pytest.mark.usefixtures("registry")
def test_a_registered_method_is_called_with_its_options_and_put_in_order() -> None:
    @register_selector("last")
    def last(features: Tensor, keep: int, skip: int = 0, **_: Any) -> Tensor:
        return torch.arange(features.shape[-2]).flip(0)[skip : skip + keep]

    assert "last" in selector_names()
    assert select_tokens(features(10, 4), 3, "last").tolist() == [7, 8, 9]
    assert select_tokens(features(10, 4), 3, "last", skip=2).tolist() == [5, 6, 7]


@pytest.mark.usefixtures("registry")
def test_registering_again_replaces() -> None:
    register_selector("random")(lambda features, keep, **_: torch.arange(keep))
    assert select_tokens(features(10, 4), 3, "random").tolist() == [0, 1, 2]


def test_gprune_keeps_the_largest_scores_of_its_options() -> None:
    tokens = features(60, 4)
    for options in ({}, {"threshold": 0.2, "temperature": None, "iterations": 2}):
        kept = select_tokens(tokens, 20, "gprune", **options)
        assert set(kept.tolist()) == set(gprune_scores(tokens, **options).topk(20).indices.tolist())


def test_l2norm_keeps_the_longest_tokens() -> None:
    tokens = features(60, 4)
    lengths = sorted((sum(value**2 for value in token), index) for index, token in enumerate(tokens.tolist()))
    assert select_tokens(tokens, 20, "l2norm").tolist() == sorted(index for _, index in lengths[-20:])


def test_random_repeats_itself_on_the_same_content() -> None:
    assert torch.equal(select_tokens(features(100, 4), 30, "random"), select_tokens(features(100, 4), 30, "random"))


def test_random_draws_anew_where_one_number_differs() -> None:
    changed = features(100, 4)
    changed[57, 2] += 1e-6
    assert not torch.equal(select_tokens(features(100, 4), 30, "random"), select_tokens(changed, 30, "random"))


def test_random_draws_anew_where_tokens_change_places() -> None:
    tokens = features(100, 4)
    assert not torch.equal(select_tokens(tokens, 30, "random"), select_tokens(tokens.flip(0), 30, "random"))


def test_a_seed_names_the_content() -> None:
    noisy = features(100, 4) + 1e-3 * features(100, 4, seed=1)
    draws = [select_tokens(tokens, 30, "random", seed=5) for tokens in (features(100, 4), noisy)]
    assert torch.equal(*draws)
    assert not torch.equal(draws[0], select_tokens(noisy, 30, "random", seed=6))


@pytest.mark.parametrize("by_seed", [True, False], ids=["by seed", "by content"])
def test_random_favours_no_token(by_seed: bool) -> None:
    draws, num_tokens, keep = 2000, 50, 10
    counts = torch.zeros(num_tokens)
    for draw in range(draws):
        tokens = features(num_tokens, 2, seed=0 if by_seed else draw)
        counts[select_tokens(tokens, keep, "random", seed=draw if by_seed else None)] += 1
    expected = draws * keep / num_tokens
    # Drawn without replacement, a token's count has this variance; 49 degrees of freedom, p = 0.001.
    chi_squared = (
        ((counts - expected) ** 2 / (expected * (1 - keep / num_tokens))).sum() * (num_tokens - 1) / num_tokens
    )
    assert chi_squared < 85.4


def test_random_favours_no_pair_of_neighbours() -> None:
    draws, num_tokens, keep = 2000, 20, 10
    together = 0
    for seed in range(draws):
        kept = select_tokens(features(num_tokens, 2), keep, "random", seed=seed)
        together += int((kept.diff() == 1).sum())
    expected = draws * (num_tokens - 1) * keep * (keep - 1) / (num_tokens * (num_tokens - 1))
    assert abs(together / expected - 1) < 0.03
