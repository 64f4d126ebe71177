"""Placeholders shortened to what a plan keeps, and the sizes of images and videos."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from vllm.multimodal.inputs import MultiModalBatchedField, MultiModalFieldElem, MultiModalKwargsItem
from vllm.multimodal.parse import (
    ImageEmbeddingItems,
    ImageProcessorItems,
    MultiModalDataItems,
    MultiModalDataParser,
    VideoProcessorItems,
)
from vllm.multimodal.processing import PromptUpdateDetails

from gprune_vllm.adapter.inputs import PLAN_FIELDS, PlannedPlaceholders, count_places, planned_in, sizes_of
from gprune_vllm.plan import Group, MediaSize, PlannedImage, TokenPlan

PAD, START, END, TIME = 3, 1, 2, 40


def plan_of(tokens: int, kept: int, frames: int = 1, structural: int = 0) -> TokenPlan:
    group = Group(1, tokens, kept, frames)
    return TokenPlan((group,), structural, span=group.tokens * frames + structural, units=1)


counts = st.integers(1, 9).flatmap(lambda tokens: st.tuples(st.just(tokens), st.integers(1, tokens)))


@given(counts, st.integers(1, 4), st.integers(0, 3))
def test_one_run_keeps_all_that_the_plan_keeps(count: tuple[int, int], frames: int, structural: int) -> None:
    plan = plan_of(*count, frames, structural)
    for whole in (PromptUpdateDetails.from_seq, lambda full: PromptUpdateDetails.select_token_id(full, PAD)):
        found = PlannedPlaceholders.of(whole([PAD] * plan.input), plan)
        assert found.full == [PAD] * plan.kept
        assert (found.input, found.kept, found.span, found.plan) == (plan.input, plan.kept, plan.span, plan)


@given(counts, st.integers(1, 4), st.lists(st.integers(TIME, TIME + 9), max_size=3))
def test_each_run_keeps_as_many_and_the_text_between_stays(
    count: tuple[int, int], frames: int, stamp: list[int]
) -> None:
    def laid_out(tokens: int) -> list[int]:
        return [token for frame in range(frames) for token in (*stamp, START, *[PAD] * tokens, END + frame % 2 * TIME)]

    tokens, kept = count
    plan = plan_of(tokens, kept, frames)
    found = PlannedPlaceholders.of(PromptUpdateDetails.select_token_id(laid_out(tokens), PAD), plan)
    assert found.full == laid_out(kept)
    assert found.is_embed is not None
    assert found.is_embed(found.full).tolist() == [token == PAD for token in found.full]
    assert (found.input, found.kept) == (tokens * frames, kept * frames)


@pytest.mark.parametrize("plan", [None, plan_of(4, 4)])
def test_what_loses_nothing_stays_as_it_is(plan: TokenPlan | None) -> None:
    whole = PromptUpdateDetails.select_token_id([START, PAD, PAD, END, START, PAD, PAD, END], PAD)
    found = PlannedPlaceholders.of(whole, plan)
    assert (found.full, found.is_embed, found.plan) == (whole.full, whole.is_embed, plan)


@pytest.mark.parametrize(
    ("prompt", "placeholder", "count"),
    [([1, 7, 2, 7], [7], 2), ([4, 5, 4, 5, 6, 4], [4, 5], 2), ([4, 5], [4, 5, 6], 0), ([], [7], 0)],
)
def test_places_of_several_tokens_are_counted_as_one(prompt: list[int], placeholder: list[int], count: int) -> None:
    assert count_places(prompt, placeholder) == count


def test_embeddings_count_by_their_placeholders() -> None:
    found = PlannedPlaceholders.of(PromptUpdateDetails.from_seq([PAD] * 7), None)
    assert (found.input, found.kept, found.span) == (7, 7, 7)


@pytest.mark.parametrize("modality", PLAN_FIELDS)
def test_a_plan_is_found_under_the_field_of_its_modality(modality: str) -> None:
    planned = PlannedImage(plan_of(5, 2), method=1, digest=9)
    element = MultiModalFieldElem(data=torch.tensor(planned.row()), field=MultiModalBatchedField())
    assert planned_in(MultiModalKwargsItem({PLAN_FIELDS[modality]: element})) == planned
    assert planned_in(MultiModalKwargsItem({"pixel_values": element})) is None


def test_what_has_no_data_has_no_plan() -> None:
    assert planned_in(None) is planned_in(MultiModalKwargsItem({})) is None


def parsed(**data: Any) -> MultiModalDataItems:
    """Data as vLLM's parser of a model that needs the metadata of videos hands it over."""
    return MultiModalDataParser(video_needs_metadata=True).parse_mm_data(data)


FRAMES = np.zeros((6, 40, 50, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "frames", [FRAMES, torch.from_numpy(FRAMES), list(FRAMES), [Image.new("RGB", (50, 40)) for _ in range(6)]]
)
@pytest.mark.parametrize(
    ("metadata", "seconds"),
    [
        ({}, 1 / 24),  # what Transformers assumes
        ({"fps": 8.0}, 1 / 8),
        ({"fps": 30.0, "total_num_frames": 90, "frames_indices": [0, 15, 30, 45, 60, 75], "duration": 3.0}, 0.5),
    ],
)
def test_a_video_with_metadata_tells_its_frames_and_their_time(
    frames: Any, metadata: dict[str, Any], seconds: float
) -> None:
    items = MultiModalDataItems({"video": VideoProcessorItems([(frames, metadata)])})
    ((size,),) = sizes_of(items).values()
    assert size is not None
    assert size[:3] == (40, 50, 6)
    assert size.seconds == pytest.approx(seconds)


@pytest.mark.parametrize("frames", [FRAMES, [Image.new("RGB", (50, 40)) for _ in range(6)]])
def test_a_video_without_metadata_is_one_of_so_many_frames(frames: Any) -> None:
    items = MultiModalDataParser().parse_mm_data({"video": [frames]})
    assert sizes_of(items) == {"video": [MediaSize(40, 50, 6, 1 / 24)]}


def test_vllms_parser_hands_over_what_is_measured() -> None:
    metadata = {"fps": 4.0, "total_num_frames": 12, "frames_indices": [0, 2, 4, 6, 8, 10]}
    items = parsed(image=[Image.new("RGB", (30, 20)), None], video=[(FRAMES, metadata), None])
    assert sizes_of(items) == {
        "image": [MediaSize(20, 30), None],
        "video": [MediaSize(40, 50, 6, 0.5), None],
    }


def test_embeddings_have_no_size() -> None:
    embeddings = ImageEmbeddingItems([torch.zeros(7, 8)])
    assert sizes_of(MultiModalDataItems({"image": embeddings})) == {}
    both = {"image": ImageProcessorItems([Image.new("RGB", (30, 20))]), "audio": embeddings}
    assert sizes_of(MultiModalDataItems(both)) == {"image": [MediaSize(20, 30)]}
