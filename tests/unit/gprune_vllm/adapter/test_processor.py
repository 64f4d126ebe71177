"""From a request's images and ratio to placeholders, plans and accounts, on a real processor."""

from typing import Any

import pytest
import torch
from vllm.exceptions import VLLMValidationError
from vllm.multimodal.parse import ImageEmbeddingItems, MultiModalDataItems
from vllm.multimodal.processing.context import TimingContext
from vllm.multimodal.processing.inputs import ProcessorInputs

from gprune_vllm.account import RECORD_KEY, VisualTokenAccount
from gprune_vllm.adapter.inputs import PLAN_FIELDS
from gprune_vllm.adapter.refusal import PruneRefusal
from gprune_vllm.defaults import METHOD
from gprune_vllm.families.anyres import largest_plan
from gprune_vllm.families.llava_next import GPruneLlavaNextProcessor
from tests.support.photos import SIZES, generated
from tests.unit.gprune_vllm.conftest import Build
from tests.unit.gprune_vllm.processing import (
    BEGIN,
    DEMO,
    IMAGE,
    LARGE,
    PHOTO,
    TEXT,
    digests,
    granted,
    plan_of,
    planned,
    process,
)

POSITIONS = 4096  # of the checkpoint


@pytest.mark.parametrize("ratio", [0, 0.5, 0.9])
@pytest.mark.parametrize("name", SIZES)
def test_an_image_gets_the_placeholders_and_the_plan_of_its_size(
    processor: GPruneLlavaNextProcessor, name: str, ratio: float
) -> None:
    image = generated(*SIZES[name])
    plan = plan_of(image, ratio)
    result = process(processor, image, prune_ratio=ratio)
    assert result["prompt_token_ids"] == [BEGIN, *[IMAGE] * plan.kept, TEXT]
    (placeholder,) = result["mm_placeholders"]["image"]
    assert (placeholder.offset, placeholder.length, placeholder.is_embed) == (1, plan.kept, None)
    assert [image.plan for image in planned(result)] == [plan]


def test_the_plan_travels_as_integers_on_the_cpu(processor: GPruneLlavaNextProcessor) -> None:
    (item,) = process(processor, PHOTO, prune_ratio=0.5)["mm_kwargs"]["image"]
    assert item[PLAN_FIELDS["image"]].data.dtype == torch.int64
    assert item[PLAN_FIELDS["image"]].field.keep_on_cpu


def test_several_images_are_planned_one_by_one(processor: GPruneLlavaNextProcessor) -> None:
    images = [generated(*size) for size in SIZES.values()]
    plans = [plan_of(image, 0.7) for image in images]
    result = process(processor, *images, prune_ratio=0.7)
    assert [image.plan for image in planned(result)] == plans
    assert [item.length for item in result["mm_placeholders"]["image"]] == [plan.kept for plan in plans]
    account = result[RECORD_KEY].account
    assert (account.input, account.kept) == (sum(plan.input for plan in plans), sum(plan.kept for plan in plans))
    assert account.images == len(images)


@pytest.mark.parametrize(("ratio", "source"), [(0.5, "request"), (0, "request"), (None, "default")])
def test_an_account_tells_whose_ratio_it_was(build: Build, ratio: float | None, source: str) -> None:
    processor = build(default_prune_ratio=0.5)
    assert process(processor, PHOTO, prune_ratio=ratio)[RECORD_KEY].account.source == source


def test_a_ratio_of_the_policy_takes_the_defaults_place(build: Build) -> None:
    processor = build(default_prune_ratio=0.9)
    result = process(processor, PHOTO, **granted(0.35))
    assert [image.plan for image in planned(result)] == [plan_of(PHOTO, 0.35)]
    assert (result[RECORD_KEY].account.source, result[RECORD_KEY].account.ratio) == ("adaptive", 0.35)
    named = process(processor, PHOTO, **granted(0.35), prune_ratio=0)[RECORD_KEY].account
    assert (named.source, named.kept) == ("request", plan_of(PHOTO).input)


def test_an_account_tells_what_was_dropped_and_what_may_follow(processor: GPruneLlavaNextProcessor) -> None:
    plan = plan_of(PHOTO, 0.5)
    limit = POSITIONS - (1 + plan.input + 3)
    expected = VisualTokenAccount(plan.input, plan.kept, 0.5, limit, patches=plan.patches)
    assert process(processor, PHOTO, text=3, prune_ratio=0.5)[RECORD_KEY].account == expected


def test_an_unpruned_request_has_no_limit_of_its_own(processor: GPruneLlavaNextProcessor) -> None:
    plan = plan_of(PHOTO)
    expected = VisualTokenAccount(plan.input, plan.input, 0.0, source="default", patches=plan.patches)
    assert process(processor, PHOTO)[RECORD_KEY].account == expected


def test_a_prompt_without_images_has_an_empty_account(processor: GPruneLlavaNextProcessor) -> None:
    assert process(processor, prune_ratio=0.5)[RECORD_KEY].account == VisualTokenAccount(0, 0, 0.5, images=0)


def test_pixels_do_not_depend_on_the_ratio(processor: GPruneLlavaNextProcessor) -> None:
    pixels = [
        process(processor, PHOTO, prune_ratio=ratio)["mm_kwargs"]["image"][0]["pixel_values"].data
        for ratio in (0, 0.5, 0.9)
    ]
    assert torch.equal(pixels[0], pixels[1])
    assert torch.equal(pixels[0], pixels[2])


def test_the_hf_processor_is_not_loaded_again_for_another_ratio(processor: GPruneLlavaNextProcessor) -> None:
    loaded = processor.info.get_hf_processor()
    assert processor.info.get_hf_processor(prune_ratio=0.3, prune_method=METHOD, prune_settings="x") is loaded
    assert processor.info.get_hf_processor(visual_token_budget=4) is loaded


def test_the_default_applies_where_nothing_is_asked(build: Build) -> None:
    processor = build(default_prune_ratio=0.5)
    assert process(processor, PHOTO)[RECORD_KEY].account.kept == plan_of(PHOTO, 0.5).kept
    assert process(processor, PHOTO, prune_ratio=None)[RECORD_KEY].account.kept == plan_of(PHOTO, 0.5).kept
    assert process(processor, PHOTO, prune_ratio=0)[RECORD_KEY].account.kept == plan_of(PHOTO).kept


@pytest.mark.parametrize("ratio", [0.8, 1, -0.1, True, "0.5", float("nan"), [0.5], 10**400])
def test_a_ratio_that_is_refused_names_its_parameter(build: Build, ratio: object) -> None:
    with pytest.raises(VLLMValidationError) as refusal:
        process(build(max_prune_ratio=0.7), PHOTO, prune_ratio=ratio)
    assert refusal.value.parameter == "prune_ratio"


def test_a_budget_takes_the_place_of_a_ratio(build: Build) -> None:
    processor = build(default_prune_ratio=0.9)
    images = [PHOTO, generated(100, 300), generated(112, 112)]
    plans = [plan_of(image, budget=100) for image in images]
    result = process(processor, *images, visual_token_budget=100)
    assert [image.plan for image in planned(result)] == plans
    account = result[RECORD_KEY].account
    assert (account.input, account.kept) == (sum(plan.input for plan in plans), sum(plan.kept for plan in plans))
    assert (account.budget, account.source) == (100, "request")
    patches = sum(plan.patches for plan in plans)
    assert (account.patches, account.ratio) == (patches, round(1 - 300 / patches, 4))


@pytest.mark.parametrize("budget", [10**3, 10**400])
def test_a_budget_beyond_the_image_keeps_it_whole(processor: GPruneLlavaNextProcessor, budget: int) -> None:
    account = process(processor, PHOTO, visual_token_budget=budget)[RECORD_KEY].account
    assert (account.kept, account.ratio, account.budget) == (plan_of(PHOTO).input, 0, budget)


@pytest.mark.parametrize("budget", [0, -5, 1.0, True, "5", [5]])
def test_a_budget_that_is_refused_names_its_parameter(processor: GPruneLlavaNextProcessor, budget: object) -> None:
    with pytest.raises(VLLMValidationError, match="positive integer") as refusal:
        process(processor, PHOTO, visual_token_budget=budget)
    assert refusal.value.parameter == "visual_token_budget"


def test_a_ratio_and_a_budget_at_once_are_refused(processor: GPruneLlavaNextProcessor) -> None:
    with pytest.raises(VLLMValidationError, match="Send one of them") as refusal:
        process(processor, PHOTO, prune_ratio=0, visual_token_budget=5)
    assert refusal.value.parameter == "visual_token_budget"


def test_a_budget_that_keeps_less_of_any_image_than_the_limit_is_refused(build: Build) -> None:
    processor = build(max_prune_ratio=0.7)
    least = plan_of(PHOTO, 0.7).patches_kept
    assert process(processor, PHOTO, visual_token_budget=least)[RECORD_KEY].account.kept == plan_of(PHOTO, 0.7).kept
    small = generated(112, 112)
    assert plan_of(small).patches < plan_of(PHOTO).patches
    for images in ([PHOTO], [small, PHOTO]):
        with pytest.raises(
            PruneRefusal, match=rf"limit of 0.7 \(--max-prune-ratio\) keeps at least {least}\."
        ) as refusal:
            process(processor, *images, visual_token_budget=least - 1)
        assert (refusal.value.parameter, refusal.value.reason) == ("visual_token_budget", "above_limit")


def test_a_request_may_name_any_enabled_method(build: Build) -> None:
    processor = build(prune_methods="tome,random")
    for index, method in enumerate((METHOD, "tome", "random")):
        result = process(processor, PHOTO, prune_ratio=0.5, prune_method=method)
        assert [image.method for image in planned(result)] == [index]
        assert result[RECORD_KEY].account.method == method


def test_a_default_ratio_applies_to_a_method_that_is_named(build: Build) -> None:
    result = process(build(default_prune_ratio=0.5, prune_methods="tome"), PHOTO, prune_method="tome")
    assert [(image.plan, image.method) for image in planned(result)] == [(plan_of(PHOTO, 0.5), 1)]
    assert result[RECORD_KEY].account.source == "default"


@pytest.mark.parametrize("method", ["tome", "", "all", 3, "x" * 10**6])
def test_a_method_that_is_not_enabled_is_refused_with_the_enabled_ones(build: Build, method: object) -> None:
    with pytest.raises(PruneRefusal, match=f"Choose one of {METHOD}, random\\.") as refusal:
        process(build(prune_methods="random"), PHOTO, prune_method=method)
    assert (refusal.value.parameter, refusal.value.reason) == ("prune_method", "invalid_method")
    assert len(str(refusal.value)) < 200


def test_profiling_sees_the_largest_image_unpruned(build: Build) -> None:
    processor = build(default_prune_ratio=0.9)
    dummy = processor.get_dummy_mm_inputs(mm_counts={"image": 2})
    largest = largest_plan(DEMO.pinpoints, DEMO.crop_size, DEMO.patch_size)
    assert [item.length for item in dummy["mm_placeholders"]["image"]] == [largest.input] * 2


def test_profiling_is_not_refused_below_a_limit(build: Build) -> None:
    processor = build(default_prune_ratio=0.2, max_prune_ratio=0.3)
    dummy = processor.get_dummy_mm_inputs(mm_counts={"image": 1})
    assert dummy[RECORD_KEY].account.ratio == 0


FULL = 12 * plan_of(LARGE).input  # 12 images leave some positions for text, 13 would not


def test_a_prompt_may_use_all_positions_but_the_last(processor: GPruneLlavaNextProcessor) -> None:
    result = process(processor, *[LARGE] * 12, text=POSITIONS - FULL - 2, prune_ratio=0.5)
    assert result[RECORD_KEY].account.output_limit == 1


def test_a_prompt_beyond_the_positions_is_refused_with_the_way_out(
    processor: GPruneLlavaNextProcessor,
) -> None:
    with pytest.raises(VLLMValidationError, match="--prune-positions contiguous") as refusal:
        process(processor, *[LARGE] * 12, text=POSITIONS - FULL - 1, prune_ratio=0.5)
    assert refusal.value.parameter == "prune_ratio"
    assert f"unpruned length of {POSITIONS}" in str(refusal.value)


def test_a_budget_beyond_the_positions_is_refused_by_its_name(processor: GPruneLlavaNextProcessor) -> None:
    with pytest.raises(PruneRefusal, match="--prune-positions contiguous") as refusal:
        process(processor, *[LARGE] * 13, visual_token_budget=50)
    assert (refusal.value.parameter, refusal.value.reason) == ("visual_token_budget", "positions")


def test_contiguous_positions_have_no_such_limit(build: Build) -> None:
    account = process(build(prune_positions="contiguous"), *[LARGE] * 14, prune_ratio=0.9)[RECORD_KEY].account
    assert account.input > POSITIONS > account.kept
    assert account.output_limit is None


def test_the_digest_is_one_of_the_pixels(build: Build) -> None:
    processor = build()
    first, repeated = (digests(process(processor, PHOTO, prune_ratio=ratio))[0] for ratio in (0.5, 0.7))
    assert first == repeated
    assert 0 < first < 2**63
    assert digests(process(processor, generated(300, 200, seed=1), prune_ratio=0.5)) != [first]


def test_the_digest_does_not_depend_on_the_other_images(build: Build) -> None:
    processor = build()
    alone = digests(process(processor, PHOTO, prune_ratio=0.5))[0]
    assert digests(process(processor, PHOTO, PHOTO, prune_ratio=0.5)) == [alone, alone]
    assert digests(process(processor, LARGE, PHOTO, prune_ratio=0.5))[1] == alone


def test_the_digest_does_not_depend_on_images_of_more_crops(build: Build) -> None:
    processor = build()
    narrow = generated(300, 100)
    assert plan_of(narrow).units < plan_of(LARGE).units
    alone = digests(process(processor, narrow, prune_ratio=0.5))[0]
    assert digests(process(processor, LARGE, narrow, prune_ratio=0.5))[1] == alone


def test_what_is_not_pruned_needs_no_digest(build: Build) -> None:
    assert digests(process(build(), PHOTO)) == [0]


def process_embeddings(processor: GPruneLlavaNextProcessor, **kwargs: object) -> Any:
    items = MultiModalDataItems({"image": ImageEmbeddingItems([torch.zeros(7, 128)])})
    inputs = ProcessorInputs([BEGIN, IMAGE], items, hf_processor_mm_kwargs=kwargs)
    return processor.apply(inputs, TimingContext(enabled=False))


def test_precomputed_embeddings_are_taken_whole_whatever_the_default(build: Build) -> None:
    result = process_embeddings(build(default_prune_ratio=0.5))
    assert result["prompt_token_ids"] == [BEGIN, *[IMAGE] * 7]
    assert result[RECORD_KEY].account == VisualTokenAccount(7, 7, 0.0, source="default")
    adaptive = process_embeddings(build(prune_policy="adaptive"), **granted(0.7))
    assert adaptive[RECORD_KEY].account == VisualTokenAccount(7, 7, 0.0, source="adaptive")


def test_a_ratio_for_precomputed_embeddings_is_refused(processor: GPruneLlavaNextProcessor) -> None:
    with pytest.raises(VLLMValidationError, match="precomputed embeddings") as refusal:
        process_embeddings(processor, prune_ratio=0.5)
    assert refusal.value.parameter == "prune_ratio"
    assert process_embeddings(processor, prune_ratio=0)[RECORD_KEY].account.kept == 7


@pytest.mark.parametrize("budget", [1, 10**6])
def test_a_budget_for_precomputed_embeddings_is_refused(processor: GPruneLlavaNextProcessor, budget: int) -> None:
    with pytest.raises(PruneRefusal, match="visual_token_budget cannot apply to precomputed") as refusal:
        process_embeddings(processor, visual_token_budget=budget)
    assert (refusal.value.parameter, refusal.value.reason) == ("visual_token_budget", "embeddings")
    assert process_embeddings(processor, prune_method=METHOD)[RECORD_KEY].account.kept == 7
