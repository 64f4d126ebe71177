"""What every method promises, and what the simple ones do."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gprune_vllm.methods import registry as methods
from gprune_vllm.methods.gprune import gprune_scores
from gprune_vllm.methods.registry import (
    needs_attention,
    register_merger,
    register_selector,
    select_tokens,
    selector_names,
)
from gprune_vllm.methods.selection import Selection
from tests.unit.gprune_vllm.support import METHOD_NAMES, METHODS, seen_of

MERGING = ("tome", "visionzip")
DTYPES = st.sampled_from([torch.float32, torch.bfloat16])


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def select(tokens: Tensor, keep: int, method: str, **options: Any) -> Selection:
    return select_tokens(tokens, keep, method, **seen_of(tokens) | {"shape": (1, tokens.shape[-2])} | options)


@st.composite
def groups(draw: st.DrawFn) -> Tensor:
    """Tokens of every kind: scattered, all alike, all zero, or some of each."""
    num_tokens, seed = draw(st.integers(1, 50)), draw(st.integers(0, 10**6))
    tokens = features(num_tokens, 4, seed=seed)
    kind = draw(st.sampled_from(["scattered", "alike", "zero", "mixed"]))
    if kind == "alike":
        tokens = tokens[:1].repeat(num_tokens, 1)
    if kind == "zero":
        tokens = torch.zeros_like(tokens)
    if kind == "mixed":
        tokens[::3], tokens[1::3] = 0.0, tokens[0]
    return tokens * 10.0 ** draw(st.integers(-6, 6))


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry of which nothing outlives the test."""
    monkeypatch.setattr(methods, "_METHODS", dict(methods._METHODS))


def test_every_method_is_tested_here() -> None:
    assert selector_names() == sorted(METHOD_NAMES)


@METHODS
@given(data=st.data(), tokens=groups(), dtype=DTYPES)
def test_a_selection_is_ascending_distinct_and_finite(
    method: str, data: st.DataObject, tokens: Tensor, dtype: torch.dtype
) -> None:
    tokens = tokens.to(dtype)
    keep = data.draw(st.integers(0, len(tokens)))
    kept = select(tokens, keep, method)
    assert (kept.index.shape, kept.index.dtype) == ((keep,), torch.int64)
    assert kept.index.tolist() == sorted(set(kept.index.tolist()))
    assert set(kept.index.tolist()) <= set(range(len(tokens)))
    assert (kept.features.shape, kept.features.dtype) == ((keep, 4), dtype)
    assert kept.features.isfinite().all()


@METHODS
@given(data=st.data(), tokens=groups())
def test_what_is_not_merged_is_kept_as_it_is(method: str, data: st.DataObject, tokens: Tensor) -> None:
    kept = select(tokens, data.draw(st.integers(0, len(tokens))), method)
    if method not in MERGING:
        assert torch.equal(kept.features, tokens[kept.index])


@METHODS
@given(tokens=groups(), dtype=DTYPES)
def test_keeping_all_changes_nothing(method: str, tokens: Tensor, dtype: torch.dtype) -> None:
    tokens = tokens.to(dtype)
    kept = select_tokens(tokens, len(tokens), method)
    assert torch.equal(kept.features, tokens)
    assert torch.equal(kept.index, torch.arange(len(tokens)))


@METHODS
@given(seed=st.integers(0, 1000), keep=st.integers(1, 20), power=st.integers(-8, 8))
def test_scale_does_not_matter(method: str, seed: int, keep: int, power: int) -> None:
    tokens = features(20, 4, seed=seed)
    options = seen_of(tokens) | {"seed": 1}
    plain = select(tokens, keep, method, **options)
    scaled = select(tokens * 2.0**power, keep, method, **options)  # exact, so that nothing rounds differently
    assert torch.equal(scaled.index, plain.index)
    assert torch.equal(scaled.features, plain.features * 2.0**power)


@pytest.mark.parametrize("method", ["gprune", "l2norm"])
@given(seed=st.integers(0, 1000), keep=st.integers(1, 20))
def test_order_does_not_matter_where_places_have_no_say(method: str, seed: int, keep: int) -> None:
    tokens, order = features(20, 4, seed=seed), torch.randperm(20, generator=torch.Generator().manual_seed(seed))
    shuffled = order[select(tokens[order], keep, method).index]
    assert set(shuffled.tolist()) == set(select(tokens, keep, method).index.tolist())


@METHODS
@pytest.mark.parametrize("keep", [0, 7, 20])
def test_leading_dimensions_are_groups_of_their_own(method: str, keep: int) -> None:
    several = features(2, 3, 20, 4)
    kept = select(several, keep, method)
    assert (kept.index.shape, kept.features.shape) == ((2, 3, keep), (2, 3, keep, 4))
    alone = [select(group, keep, method) for group in several.flatten(0, 1)]
    assert torch.equal(kept.index.flatten(0, 1), torch.stack([group.index for group in alone]))
    torch.testing.assert_close(kept.features.flatten(0, 1), torch.stack([group.features for group in alone]))


@METHODS
@pytest.mark.parametrize("keep", [-1, 11])
def test_keeping_fewer_than_none_or_more_than_all_is_refused(method: str, keep: int) -> None:
    with pytest.raises(ValueError, match=f"keep must be between 0 and 10, got {keep}"):
        select_tokens(features(10, 4), keep, method)


@METHODS
def test_features_are_not_changed(method: str) -> None:
    tokens = features(10, 4)
    select(tokens, 5, method)
    assert torch.equal(tokens, features(10, 4))


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=f"unknown method 'best'; registered are {', '.join(METHOD_NAMES)}$"):
        select_tokens(features(10, 4), 5, "best")


@METHODS
def test_options_of_other_methods_are_ignored(method: str) -> None:
    everything: dict[str, Any] = {"seed": 1, "threshold": 0.1, "temperature": 0.1, "iterations": 1, "of_another": 1}
    assert select(features(10, 4), 5, method, **everything).index.shape == (5,)


@pytest.mark.usefixtures("registry")
def test_a_registered_method_is_called_with_its_options_and_put_in_order() -> None:
    @register_selector("last")
    def last(features: Tensor, keep: int, skip: int = 0, **_: Any) -> Tensor:
        return torch.arange(features.shape[-2]).flip(0)[skip : skip + keep]

    assert "last" in selector_names()
    assert not needs_attention("last")
    assert select_tokens(features(10, 4), 3, "last").index.tolist() == [7, 8, 9]
    kept = select_tokens(features(10, 4), 3, "last", skip=2)
    assert kept.index.tolist() == [5, 6, 7]
    assert torch.equal(kept.features, features(10, 4)[5:8])


@pytest.mark.usefixtures("registry")
def test_a_registered_merger_is_put_in_order_with_its_features() -> None:
    @register_merger("doubled", needs_attention=True)
    def doubled(features: Tensor, keep: int, **_: Any) -> Selection:
        index = torch.arange(keep).flip(0)
        return Selection(2 * features[index], index)

    assert needs_attention("doubled")
    kept = select_tokens(features(10, 4), 3, "doubled")
    assert kept.index.tolist() == [0, 1, 2]
    assert torch.equal(kept.features, 2 * features(10, 4)[:3])


@pytest.mark.usefixtures("registry")
def test_registering_again_replaces() -> None:
    register_selector("random")(lambda features, keep, **_: torch.arange(keep))
    assert select_tokens(features(10, 4), 3, "random").index.tolist() == [0, 1, 2]


def test_gprune_keeps_the_largest_scores_of_its_options() -> None:
    tokens = features(60, 4)
    variants: list[dict[str, Any]] = [
        {},
        {"threshold": 0.2, "temperature": None, "iterations": 2},
        {"score": "ones"},
        {"similarity": "euclidean"},
    ]
    for options in variants:
        kept = select_tokens(tokens, 20, "gprune", **options).index
        assert set(kept.tolist()) == set(gprune_scores(tokens, **options).topk(20).indices.tolist())


def test_gprune_without_its_graph_is_l2norm() -> None:
    tokens = features(60, 4)
    without = select_tokens(tokens, 20, "gprune", graph=False)
    assert torch.equal(without.index, select_tokens(tokens, 20, "l2norm").index)
    assert not torch.equal(without.index, select_tokens(tokens, 20, "gprune").index)


def test_l2norm_keeps_the_longest_tokens() -> None:
    tokens = features(60, 4)
    lengths = sorted((sum(value**2 for value in token), index) for index, token in enumerate(tokens.tolist()))
    assert select_tokens(tokens, 20, "l2norm").index.tolist() == sorted(index for _, index in lengths[-20:])


@pytest.mark.parametrize(
    ("method", "option"),
    [
        ("gprune-blend", "shape"),
        ("gprune-nms", "shape"),
        ("grid", "shape"),
        ("scope", "attention"),
        ("visionzip", "attention"),
    ],
)
def test_a_method_asks_for_the_option_it_needs(method: str, option: str) -> None:
    assert needs_attention(method) == (option == "attention")
    with pytest.raises(ValueError, match=f"method '{method}' needs the option '{option}'$"):
        select_tokens(features(10, 4), 5, method)
