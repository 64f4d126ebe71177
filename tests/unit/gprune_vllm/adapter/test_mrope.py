"""Positions of pruned prompts under M-RoPE, held against those that vLLM gives the unpruned prompts."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from vllm.multimodal.inputs import MultiModalFeatureSpec

from gprune_vllm.adapter.mrope import UnprunedSection, part_firsts, run_ends, unpruned_prompt
from gprune_vllm.families.qwen_vl import Qwen2VL
from gprune_vllm.plan import Group, TokenPlan
from tests.unit.gprune_vllm.mrope_prompts import MODELS, Media, Prompt, prompts

FAMILY = Qwen2VL()
LAYOUTS = pytest.mark.parametrize("layout", MODELS)
PHOTO = Media("image", 2, rows=3, columns=4, frames=1, kept=5, seconds=0.0)
CLIP = Media("video", 2, rows=3, columns=2, frames=3, kept=2, seconds=1.0)


def same_place(one: MultiModalFeatureSpec, other: MultiModalFeatureSpec) -> bool:
    """Whether both are the same tokens of a prompt."""
    places = one.mm_position, other.mm_position
    masks = [
        torch.ones(place.length, dtype=torch.bool) if place.is_embed is None else place.is_embed for place in places
    ]
    return places[0].offset == places[1].offset and torch.equal(*masks)


@LAYOUTS
@pytest.mark.parametrize("contiguous", [False, True])
@given(data=st.data())
def test_the_unpruned_prompt_is_restored(layout: str, contiguous: bool, data: st.DataObject) -> None:
    prompt = data.draw(prompts(layout != "one run"))
    (whole, features), (tokens, pruned) = prompt.lay_out(pruned=False), prompt.lay_out(pruned=True)
    sections = [UnprunedSection.of(tokens, feature, contiguous) for feature in pruned]
    restored, moved, stays = unpruned_prompt(tokens, pruned, sections)
    assert restored == whole
    assert all(same_place(*pair) for pair in zip(moved, features, strict=True))
    assert [restored[place] for place in stays.tolist()] == tokens
    assert [section.plan for section in sections] == [each.plan if each.pruned else None for each in prompt.media]


def offsets_of(prompt: Prompt, features: list[MultiModalFeatureSpec], layout: str, seed: int, length: int) -> Tensor:
    """What the tokens of a pruned prompt lack, `[3, length]`, where any tokens stay."""
    offsets = torch.zeros(3, length, dtype=torch.int64)
    for number, (each, feature) in enumerate(zip(prompt.media, features, strict=True)):
        if each.plan is not None and each.pruned:
            found = MODELS[layout][1]().offsets_of(each.chosen(seed + number), FAMILY.layout(each.plan), each.plan)
            place, mask = feature.mm_position, feature.mm_position.is_embed
            inside = torch.arange(place.length) if mask is None else mask.nonzero().flatten()
            offsets[:, place.offset + inside] = found.T
    return offsets


def staying(prompt: Prompt, features: list[MultiModalFeatureSpec], seed: int, length: int) -> Tensor:
    """Which tokens of the unpruned prompt stay, `[length]` bool."""
    stays = torch.ones(length, dtype=torch.bool)
    for number, (each, feature) in enumerate(zip(prompt.media, features, strict=True)):
        place, mask = feature.mm_position, feature.mm_position.is_embed
        inside = place.offset + (torch.arange(place.length) if mask is None else mask.nonzero().flatten())
        stays[inside] = False
        stays[inside[each.chosen(seed + number)]] = True
    return stays


@LAYOUTS
@given(data=st.data(), seed=st.integers(0, 1000))
def test_tokens_that_stay_get_the_positions_they_had(layout: str, data: st.DataObject, seed: int) -> None:
    prompt = data.draw(prompts(layout != "one run"))
    (whole, features), (tokens, pruned) = prompt.lay_out(pruned=False), prompt.lay_out(pruned=True)
    upstream, model = MODELS[layout][0](), MODELS[layout][1]()
    expected, _ = upstream.get_mrope_input_positions(whole, features)
    found, delta = model.get_mrope_input_positions(tokens, data.draw(st.permutations(pruned)))
    moved = found + offsets_of(prompt, pruned, layout, seed, len(tokens))
    assert torch.equal(moved, expected[:, staying(prompt, features, seed, len(whole))])
    assert len(tokens) + delta == expected.max() + 1
    assert (found.dtype, type(delta)) == (torch.int64, int)


def followed_up(prompt: Prompt, layout: str) -> tuple[Tensor, int]:
    """Positions where the tokens of a pruned run follow one another, part by part, and the one that comes next."""
    whole, features = prompt.lay_out(pruned=False)
    original, _ = MODELS[layout][0]().get_mrope_input_positions(whole, features)
    parts, last, following = [], 0, 0

    def follow(part: Tensor) -> None:
        nonlocal following
        parts.append(part - (part.min() - following if part.numel() else 0))
        following = int(parts[-1].max()) + 1 if part.numel() else following

    for each, feature in zip(prompt.media, features, strict=True):
        place = feature.mm_position
        mask = torch.ones(place.length, dtype=torch.bool) if place.is_embed is None else place.is_embed
        ends = (place.offset + 1 + run_ends(mask).nonzero().flatten()).tolist()
        size = each.tokens * each.frames // len(ends)
        for end in ends:
            follow(torch.arange(end - size - last).expand(3, -1))
            kept = (each.kept or 0) * each.frames // len(ends)
            follow(torch.arange(kept).expand(3, -1) if each.pruned else original[:, end - size : end])
            last = end
    follow(torch.arange(len(whole) - last).expand(3, -1))
    return torch.cat(parts, dim=1), following


@LAYOUTS
@given(data=st.data())
def test_contiguous_positions_follow_one_another(layout: str, data: st.DataObject) -> None:
    prompt = data.draw(prompts(layout != "one run"))
    tokens, pruned = prompt.lay_out(pruned=True)
    model = MODELS[layout][1](contiguous=True)
    found, delta = model.get_mrope_input_positions(tokens, data.draw(st.permutations(pruned)))
    expected, following = followed_up(prompt, layout)
    assert torch.equal(found, expected)
    assert len(tokens) + delta == following


def test_contiguous_positions_of_a_photo_and_a_clip() -> None:
    tokens, pruned = Prompt([PHOTO, CLIP], 2, apart=True).lay_out(pruned=True)
    found, delta = MODELS["a run a frame"][1](contiguous=True).get_mrope_input_positions(tokens, pruned)
    assert found.tolist() == [list(range(len(tokens)))] * 3
    assert delta == 0


def test_a_photo_keeps_rows_and_columns() -> None:
    tokens, (photo,) = Prompt([PHOTO], 1, apart=False).lay_out(pruned=True)
    model, chosen = MODELS["one run"][1](), torch.tensor([0, 3, 4, 9, 11])
    found, delta = model.get_mrope_input_positions(tokens, [photo])
    assert found[:, 3:8].tolist() == [[3] * 5] * 3  # two tokens of text, and the start
    assert PHOTO.plan is not None
    offsets = model.offsets_of(chosen, FAMILY.layout(PHOTO.plan), PHOTO.plan)
    assert offsets.tolist() == [[0, 0, 0], [0, 0, 3], [0, 1, 0], [0, 2, 1], [0, 2, 3]]
    assert found[:, 8:].tolist() == [[7, 8]] * 3  # after four columns
    assert delta == 9 - len(tokens)


@LAYOUTS
@given(data=st.data())
def test_prompts_that_lose_nothing_are_upstreams_own(layout: str, data: st.DataObject) -> None:
    prompt = data.draw(
        prompts(layout != "one run").filter(lambda prompt: not any(each.pruned for each in prompt.media))
    )
    tokens, features = prompt.lay_out(pruned=True)
    for contiguous in (False, True):
        found = MODELS[layout][1](contiguous).get_mrope_input_positions(tokens, features)
        expected = MODELS[layout][0]().get_mrope_input_positions(tokens, features)
        assert torch.equal(found[0], expected[0])
        assert found[1] == expected[1]


def test_parts_are_the_copies_of_the_groups() -> None:
    plan = TokenPlan((Group(2, 3, kept=2, copies=2), Group(1, 4, kept=1)), structural=0, span=16, units=1)
    assert part_firsts(plan).tolist() == [0, 0, 6, 6, 12]
