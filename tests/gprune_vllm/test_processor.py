"""From a request's images and ratio to placeholders, plans and accounts, on a real processor."""

from dataclasses import astuple
from typing import Any

import pytest
import torch
from vllm.exceptions import VLLMValidationError
from vllm.multimodal.parse import ImageEmbeddingItems, MultiModalDataItems
from vllm.multimodal.processing.context import TimingContext
from vllm.multimodal.processing.inputs import ProcessorInputs

from gprune_vllm.account import ACCOUNT_KEY, VisualTokenAccount
from gprune_vllm.plan import largest_plan
from gprune_vllm.processor import PLAN_FIELD, GPruneLlavaNextMultiModalProcessor
from tests.gprune_vllm.conftest import Build
from tests.gprune_vllm.processing import BEGIN, DEMO, IMAGE, LARGE, PHOTO, TEXT, plan_of, process, rows, seeds
from tests.photos import SIZES, generated

POSITIONS = 4096  # of the checkpoint


@pytest.mark.parametrize("ratio", [0, 0.5, 0.9])
@pytest.mark.parametrize("name", SIZES)
def test_an_image_gets_the_placeholders_and_the_plan_of_its_size(
    processor: GPruneLlavaNextMultiModalProcessor, name: str, ratio: float
) -> None:
    image = generated(*SIZES[name])
    plan = plan_of(image, ratio)
    result = process(processor, image, prune_ratio=ratio)
    assert result["prompt_token_ids"] == [BEGIN, *[IMAGE] * plan.kept, TEXT]
    (placeholder,) = result["mm_placeholders"]["image"]
    assert (placeholder.offset, placeholder.length, placeholder.is_embed) == (1, plan.kept, None)
    assert rows(result) == [[*astuple(plan), 0]]


def test_the_plan_travels_as_integers_on_the_cpu(processor: GPruneLlavaNextMultiModalProcessor) -> None:
    (item,) = process(processor, PHOTO, prune_ratio=0.5)["mm_kwargs"]["image"]
    assert item[PLAN_FIELD].data.dtype == torch.int64
    assert item[PLAN_FIELD].field.keep_on_cpu


def test_several_images_are_planned_one_by_one(processor: GPruneLlavaNextMultiModalProcessor) -> None:
    images = [generated(*size) for size in SIZES.values()]
    plans = [plan_of(image, 0.7) for image in images]
    result = process(processor, *images, prune_ratio=0.7)
    assert rows(result) == [[*astuple(plan), 0] for plan in plans]
    assert [item.length for item in result["mm_placeholders"]["image"]] == [plan.kept for plan in plans]
    account = result[ACCOUNT_KEY]
    assert (account.input, account.kept) == (sum(plan.input for plan in plans), sum(plan.kept for plan in plans))
    assert account.images == len(images)


@pytest.mark.parametrize(("ratio", "source"), [(0.5, "request"), (0, "request"), (None, "default")])
def test_an_account_tells_whose_ratio_it_was(build: Build, ratio: float | None, source: str) -> None:
    processor = build(default_prune_ratio=0.5)
    assert process(processor, PHOTO, prune_ratio=ratio)[ACCOUNT_KEY].source == source


def test_an_account_tells_what_was_dropped_and_what_may_follow(processor: GPruneLlavaNextMultiModalProcessor) -> None:
    plan = plan_of(PHOTO, 0.5)
    limit = POSITIONS - (1 + plan.input + 3)
    expected = VisualTokenAccount(plan.input, plan.kept, 0.5, limit)
    assert process(processor, PHOTO, text=3, prune_ratio=0.5)[ACCOUNT_KEY] == expected


def test_an_unpruned_request_has_no_limit_of_its_own(processor: GPruneLlavaNextMultiModalProcessor) -> None:
    plan = plan_of(PHOTO)
    assert process(processor, PHOTO)[ACCOUNT_KEY] == VisualTokenAccount(plan.input, plan.input, 0.0, source="default")


def test_a_prompt_without_images_has_an_empty_account(processor: GPruneLlavaNextMultiModalProcessor) -> None:
    assert process(processor, prune_ratio=0.5)[ACCOUNT_KEY] == VisualTokenAccount(0, 0, 0.5, images=0)


def test_pixels_do_not_depend_on_the_ratio(processor: GPruneLlavaNextMultiModalProcessor) -> None:
    pixels = [
        process(processor, PHOTO, prune_ratio=ratio)["mm_kwargs"]["image"][0]["pixel_values"].data
        for ratio in (0, 0.5, 0.9)
    ]
    assert torch.equal(pixels[0], pixels[1])
    assert torch.equal(pixels[0], pixels[2])


def test_the_hf_processor_is_not_loaded_again_for_another_ratio(processor: GPruneLlavaNextMultiModalProcessor) -> None:
    loaded = processor.info.get_hf_processor()
    assert processor.info.get_hf_processor(prune_ratio=0.3, prune_settings="x") is loaded
    assert processor.info.get_hf_processor(prune_ratio=0.4) is loaded


def test_the_default_applies_where_nothing_is_asked(build: Build) -> None:
    processor = build(default_prune_ratio=0.5)
    assert process(processor, PHOTO)[ACCOUNT_KEY].kept == plan_of(PHOTO, 0.5).kept
    assert process(processor, PHOTO, prune_ratio=None)[ACCOUNT_KEY].kept == plan_of(PHOTO, 0.5).kept
    assert process(processor, PHOTO, prune_ratio=0)[ACCOUNT_KEY].kept == plan_of(PHOTO).kept


@pytest.mark.parametrize("ratio", [0.8, 1, -0.1, True, "0.5", float("nan"), [0.5], 10**400])
def test_a_ratio_that_is_refused_names_its_parameter(build: Build, ratio: object) -> None:
    with pytest.raises(VLLMValidationError) as refusal:
        process(build(max_prune_ratio=0.7), PHOTO, prune_ratio=ratio)
    assert refusal.value.parameter == "prune_ratio"


def test_profiling_sees_the_largest_image_unpruned(build: Build) -> None:
    processor = build(default_prune_ratio=0.9)
    dummy = processor.get_dummy_mm_inputs(mm_counts={"image": 2})
    largest = largest_plan(DEMO.pinpoints, DEMO.crop_size, DEMO.patch_size)
    assert [item.length for item in dummy["mm_placeholders"]["image"]] == [largest.input] * 2


def test_profiling_is_not_refused_below_a_limit(build: Build) -> None:
    processor = build(default_prune_ratio=0.2, max_prune_ratio=0.3)
    dummy = processor.get_dummy_mm_inputs(mm_counts={"image": 1})
    assert dummy[ACCOUNT_KEY].ratio == 0


FULL = 12 * plan_of(LARGE).input  # 12 images leave some positions for text, 13 would not


def test_a_prompt_may_use_all_positions_but_the_last(processor: GPruneLlavaNextMultiModalProcessor) -> None:
    result = process(processor, *[LARGE] * 12, text=POSITIONS - FULL - 2, prune_ratio=0.5)
    assert result[ACCOUNT_KEY].output_limit == 1


def test_a_prompt_beyond_the_positions_is_refused_with_the_way_out(
    processor: GPruneLlavaNextMultiModalProcessor,
) -> None:
    with pytest.raises(VLLMValidationError, match="--prune-positions contiguous") as refusal:
        process(processor, *[LARGE] * 12, text=POSITIONS - FULL - 1, prune_ratio=0.5)
    assert refusal.value.parameter == "prune_ratio"
    assert f"unpruned length of {POSITIONS}" in str(refusal.value)


def test_contiguous_positions_have_no_such_limit(build: Build) -> None:
    account = process(build(prune_positions="contiguous"), *[LARGE] * 14, prune_ratio=0.9)[ACCOUNT_KEY]
    assert account.input > POSITIONS > account.kept
    assert account.output_limit is None


def test_a_random_draw_is_seeded_by_the_pixels(build: Build) -> None:
    processor = build(prune_method="random")
    first, repeated = (seeds(process(processor, PHOTO, prune_ratio=ratio))[0] for ratio in (0.5, 0.7))
    assert first == repeated != 0
    assert seeds(process(processor, generated(300, 200, seed=1), prune_ratio=0.5)) != [first]


def test_a_random_draw_does_not_depend_on_the_other_images(build: Build) -> None:
    processor = build(prune_method="random")
    alone = seeds(process(processor, PHOTO, prune_ratio=0.5))[0]
    assert seeds(process(processor, PHOTO, PHOTO, prune_ratio=0.5)) == [alone, alone]
    assert seeds(process(processor, LARGE, PHOTO, prune_ratio=0.5))[1] == alone


def test_a_random_draw_does_not_depend_on_images_of_more_crops(build: Build) -> None:
    processor = build(prune_method="random")
    narrow = generated(300, 100)
    assert plan_of(narrow).crops < plan_of(LARGE).crops
    alone = seeds(process(processor, narrow, prune_ratio=0.5))[0]
    assert seeds(process(processor, LARGE, narrow, prune_ratio=0.5))[1] == alone


def test_what_is_not_drawn_needs_no_seed(build: Build) -> None:
    assert seeds(process(build(prune_method="random"), PHOTO)) == [0]
    assert seeds(process(build(), PHOTO, prune_ratio=0.5)) == [0]


def process_embeddings(processor: GPruneLlavaNextMultiModalProcessor, **kwargs: object) -> Any:
    items = MultiModalDataItems({"image": ImageEmbeddingItems([torch.zeros(7, 128)])})
    inputs = ProcessorInputs([BEGIN, IMAGE], items, hf_processor_mm_kwargs=kwargs)
    return processor.apply(inputs, TimingContext(enabled=False))


def test_precomputed_embeddings_are_taken_whole_whatever_the_default(build: Build) -> None:
    result = process_embeddings(build(default_prune_ratio=0.5))
    assert result["prompt_token_ids"] == [BEGIN, *[IMAGE] * 7]
    assert result[ACCOUNT_KEY] == VisualTokenAccount(7, 7, 0.0, source="default")


def test_a_ratio_for_precomputed_embeddings_is_refused(processor: GPruneLlavaNextMultiModalProcessor) -> None:
    with pytest.raises(VLLMValidationError, match="precomputed image embeddings") as refusal:
        process_embeddings(processor, prune_ratio=0.5)
    assert refusal.value.parameter == "prune_ratio"
    assert process_embeddings(processor, prune_ratio=0)[ACCOUNT_KEY].kept == 7
