"""Pruned images, held against the unpruned sequence that Transformers lays out."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gprune_vllm.adapter.pruning import KeptTokens
from gprune_vllm.methods.registry import select_tokens
from gprune_vllm.plan import TokenPlan
from tests.unit.gprune_vllm.support import (
    GEOMETRIES,
    METHODS,
    SMALL,
    Size,
    features_of,
    finish,
    keep,
    ratios,
    seen_of,
    small_sizes,
    transformers_layout,
)

NEWLINE = torch.linspace(-9, 9, 8)
KEEPING = pytest.mark.parametrize("method", ["divprune", "gprune", "l2norm", "random"])
"""Methods that change no token."""


def prune(features: Tensor, plan: TokenPlan, method: str, **options: Any) -> tuple[Tensor, Tensor]:
    return finish(keep(features, plan, method, seen_of(features), **options), NEWLINE, plan)


@KEEPING
@given(size=small_sizes, ratio=ratios, seed=st.integers(0, 1000))
def test_what_stays_is_the_unpruned_sequence_with_gaps(method: str, size: Size, ratio: float, seed: int) -> None:
    plan = SMALL.plan(size, ratio)
    features = features_of(plan, seed=seed)
    embeddings, offsets = prune(features, plan, method)
    positions = torch.arange(plan.kept) + offsets
    unpruned = transformers_layout(features, size, NEWLINE, SMALL)
    assert len(unpruned) == plan.input
    assert torch.equal(embeddings, unpruned[positions])


@METHODS
@given(size=small_sizes, ratio=ratios)
def test_newline_tokens_always_stay(method: str, size: Size, ratio: float) -> None:
    plan = SMALL.plan(size, ratio)
    embeddings, _ = prune(features_of(plan), plan, method)
    assert (embeddings == NEWLINE).all(dim=-1).sum() == plan.groups[1].rows


@METHODS
@given(size=small_sizes, ratio=ratios)
def test_offsets_count_the_tokens_dropped_before(method: str, size: Size, ratio: float) -> None:
    plan = SMALL.plan(size, ratio)
    _, offsets = prune(features_of(plan), plan, method)
    assert offsets.dtype == torch.int64
    assert offsets.shape == (plan.kept,)
    assert (offsets >= 0).all()
    assert (offsets.diff() >= 0).all()
    assert offsets[-1] <= plan.input - plan.kept
    if plan.groups[1].rows:  # the last token is a newline, which stays
        assert offsets[-1] == plan.input - plan.kept


@given(size=small_sizes)
def test_everything_kept_is_the_unpruned_sequence(size: Size) -> None:
    plan = SMALL.plan(size)
    features = features_of(plan)
    embeddings, offsets = prune(features, plan, "gprune")
    assert torch.equal(embeddings, transformers_layout(features, size, NEWLINE, SMALL))
    assert not offsets.any()


@METHODS
def test_base_crop_and_grid_are_selected_apart(method: str) -> None:
    plan = SMALL.plan((60, 90), 0.6)
    features = features_of(plan, seed=3)
    seen = seen_of(features)
    patches = keep(features, plan, method, seen, seed=11)
    in_base = {name: values[0] for name, values in seen.items()}
    expected = select_tokens(features[0], plan.groups[0].kept, method, shape=(4, 4), seed=11, **in_base)
    assert torch.equal(patches.positions[: plan.groups[0].kept], expected.index)
    torch.testing.assert_close(patches.features[: plan.groups[0].kept], expected.features)  # batches round apart
    disturbed = torch.cat((features[:1], features[1:].flip(-1) + 1))
    again = keep(disturbed, plan, method, seen_of(disturbed), seed=11)
    assert torch.equal(again.positions[: plan.groups[0].kept], expected.index)


@pytest.mark.parametrize("method", ["tome", "visionzip"])
def test_merged_tokens_of_the_grid_lie_where_the_others_were_merged_into(method: str) -> None:
    size = (60, 90)
    plan = SMALL.plan(size, 0.6)
    features = features_of(plan, seed=3)
    patches = keep(features, plan, method, seen_of(features))
    unpruned = transformers_layout(features, size, torch.full((8,), torch.inf), SMALL)
    places = (~unpruned.isinf().any(dim=-1)).nonzero().flatten()[plan.groups[0].tokens :]
    grid = unpruned[places]
    expected = select_tokens(grid, plan.groups[1].kept, method, **seen_of(grid))
    assert torch.equal(patches.positions[plan.groups[0].kept :], places[expected.index])
    torch.testing.assert_close(patches.features[plan.groups[0].kept :], expected.features)
    assert not torch.equal(patches.features[plan.groups[0].kept :], grid[expected.index])


def test_padding_never_counts() -> None:
    size = (20, 200)
    plan = SMALL.plan(size, 0.5)
    features = features_of(plan, seed=1)
    marked = features.flatten(0, 1).clone()
    inside = transformers_layout(torch.arange(len(marked)).view(plan.units, -1, 1), size, torch.tensor([-1]), SMALL)
    outside = torch.ones(len(marked), dtype=torch.bool)
    outside[inside[inside >= 0]] = False
    assert outside.any()
    marked[outside] = 1e6  # the longest of all tokens, and the most alike
    for method in ("gprune", "l2norm"):
        expected, _ = prune(features, plan, method)
        assert torch.equal(prune(marked.view_as(features), plan, method)[0], expected)


def test_the_papers_image_keeps_726_of_2340_tokens() -> None:
    geometry = GEOMETRIES["llava-next"]
    plan = geometry.plan((480, 640), 0.7)
    features = features_of(plan)
    embeddings, offsets = prune(features, plan, "gprune")
    unpruned = transformers_layout(features, (480, 640), NEWLINE, geometry)
    assert (len(embeddings), len(unpruned)) == (726, 2340)
    assert torch.equal(embeddings, unpruned[torch.arange(726) + offsets])


def test_newlines_take_the_dtype_of_the_patches() -> None:
    plan = SMALL.plan((60, 90), 0.6)
    patches = keep(features_of(plan).bfloat16(), plan, "gprune")
    embeddings, _ = finish(patches, NEWLINE, plan)
    assert embeddings.dtype == torch.bfloat16


def test_patches_may_be_projected_between_the_two_steps() -> None:
    plan = SMALL.plan((60, 90), 0.6)
    features = features_of(plan)
    projector = torch.nn.Linear(8, 6).requires_grad_(False)
    patches = keep(features, plan, "gprune")
    projected = KeptTokens(projector(patches.features), patches.positions)
    embeddings, offsets = finish(projected, NEWLINE[:6], plan)
    unpruned = transformers_layout(projector(features), (60, 90), NEWLINE[:6], SMALL)
    torch.testing.assert_close(embeddings, unpruned[torch.arange(plan.kept) + offsets])
