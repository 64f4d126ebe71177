"""Counting visual tokens, held against vLLM's and Transformers' own counts."""

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import LlavaNextProcessor
from transformers.models.llava_next.modeling_llava_next import get_anyres_image_grid_shape, unpad_image
from vllm.model_executor.models.llava_next import LlavaNextProcessingInfo
from vllm.multimodal.processing.context import InputProcessingContext

from gprune_vllm.families.anyres import largest_plan, plan_tokens
from gprune_vllm.plan import PlannedImage, PruneSpec, SpecError, TokenPlan
from tests.unit.gprune_vllm.support import GEOMETRIES, Geometry, Size, ratios, sizes

LLAVA_NEXT = GEOMETRIES["llava-next"]
EXTREMES = [(1, 1), (1, 336), (2, 1008), (1008, 2), (1, 5000), (5000, 1), (4, 5000), (337, 335), (1, 10**6)]


def vllm_info(geometry: Geometry) -> LlavaNextProcessingInfo:
    """vLLM's processing info around a real configuration; nothing else of the model's is asked for."""
    model_config: Any = SimpleNamespace(hf_config=geometry.config())
    return LlavaNextProcessingInfo(InputProcessingContext(model_config, tokenizer=None))


def hf_processor(geometry: Geometry) -> LlavaNextProcessor:
    """Transformers' processor, with what it counts by and without a tokenizer."""
    processor = object.__new__(LlavaNextProcessor)
    processor.image_processor = SimpleNamespace(image_grid_pinpoints=geometry.pinpoint_lists)
    processor.patch_size = geometry.patch_size
    processor.num_additional_image_tokens = 1 if geometry.tower == "clip" else 0
    return processor


INFOS = {name: vllm_info(geometry) for name, geometry in GEOMETRIES.items()}
PROCESSORS = {name: hf_processor(geometry) for name, geometry in GEOMETRIES.items()}


def upstream_counts(name: str, size: Size) -> tuple[int, int]:
    """Visual tokens of an image according to vLLM and to Transformers."""
    geometry, (height, width) = GEOMETRIES[name], size
    vllm_count = INFOS[name].get_num_image_tokens(image_height=height, image_width=width)
    crop = geometry.crop_size
    hf_count = PROCESSORS[name]._get_number_of_features(height, width, crop, crop)
    return vllm_count, hf_count - (geometry.strategy == "default")


def upstream_grid(geometry: Geometry, size: Size) -> tuple[int, ...]:
    """Crop rows, crop columns, grid height and grid width according to Transformers."""
    rows, columns = get_anyres_image_grid_shape(size, geometry.pinpoint_lists, geometry.crop_size)
    padded = torch.empty(1, rows * geometry.side, columns * geometry.side, device="meta")
    return rows, columns, *unpad_image(padded, size).shape[1:]


def grid(plan: TokenPlan) -> tuple[int, ...]:
    return plan.geometry[0], plan.geometry[1], plan.groups[1].rows, plan.groups[1].columns


@pytest.mark.parametrize("name", GEOMETRIES)
@settings(max_examples=700)
@given(size=sizes)
def test_any_image_counts_as_upstream_counts_it(name: str, size: Size) -> None:
    plan = GEOMETRIES[name].plan(size)
    assert (plan.input, plan.input) == upstream_counts(name, size)
    assert grid(plan) == upstream_grid(GEOMETRIES[name], size)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_extreme_and_exact_images_count_as_upstream_counts_them(name: str) -> None:
    geometry = GEOMETRIES[name]
    exact = [
        (height + down, width + right) for height, width in geometry.pinpoints for down in (0, 1) for right in (0, 1)
    ]
    for size in EXTREMES + exact:
        assert (geometry.plan(size).input,) * 2 == upstream_counts(name, size)
        assert grid(geometry.plan(size)) == upstream_grid(geometry, size)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_every_width_of_a_fixed_height_counts_as_in_vllm(name: str) -> None:
    for width in range(20, 1500):
        count = INFOS[name].get_num_image_tokens(image_height=333, image_width=width)
        assert GEOMETRIES[name].plan((333, width)).input == count


@pytest.mark.parametrize("size", [(365, 2920), (249, 2988), (161, 2898), (2936, 367), (2988, 249)])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_rows_that_only_rounding_makes_whole_count_as_in_vllm(name: str, size: Size) -> None:
    assert (GEOMETRIES[name].plan(size).input,) * 2 == upstream_counts(name, size)


def test_the_papers_image_keeps_what_the_released_code_keeps() -> None:
    plan = LLAVA_NEXT.plan((480, 640), 0.7)
    assert (plan.input, plan.groups[0].kept, plan.groups[1].kept, plan.kept) == (2340, 172, 518, 726)
    assert (plan.groups[1].rows, plan.groups[1].columns, plan.units) == (36, 48, 5)


@given(size=sizes, pair=st.tuples(ratios, ratios))
def test_a_larger_ratio_never_keeps_more(size: Size, pair: tuple[float, float]) -> None:
    less, more = (LLAVA_NEXT.plan(size, ratio) for ratio in sorted(pair))
    assert less.groups[0].kept >= more.groups[0].kept
    assert less.groups[1].kept >= more.groups[1].kept


@given(size=sizes, ratio=ratios)
@example(size=(480, 640), ratio=1 - 2**-53)
def test_a_token_of_each_group_and_all_newlines_stay(size: Size, ratio: float) -> None:
    plan = LLAVA_NEXT.plan(size, ratio)
    assert 1 <= plan.groups[0].kept <= plan.groups[0].tokens
    assert min(1, plan.groups[1].tokens) <= plan.groups[1].kept <= plan.groups[1].tokens
    assert plan.kept == plan.groups[0].kept + plan.groups[1].kept + plan.groups[1].rows


@given(size=sizes)
def test_ratio_0_keeps_everything(size: Size) -> None:
    plan = LLAVA_NEXT.plan(size, 0)
    assert plan.kept == plan.input
    assert not plan.pruned


@given(size=sizes, ratio=ratios)
def test_a_plan_says_it_prunes_exactly_if_it_drops_tokens(size: Size, ratio: float) -> None:
    plan = LLAVA_NEXT.plan(size, ratio)
    assert plan.pruned == (plan.kept != plan.input)


def test_decimal_ratios_are_exact_decimals() -> None:
    for percent in range(100):
        spec = PruneSpec(percent / 100)
        for num_tokens in range(1, 2400):
            assert spec.count_kept(num_tokens) == max(1, (100 - percent) * num_tokens // 100)


@given(thousandths=st.integers(0, 999), hundreds=st.integers(1, 200))
@example(thousandths=900, hundreds=1)
def test_products_that_are_whole_are_not_rounded_down(thousandths: int, hundreds: int) -> None:
    num_tokens = 1000 * hundreds
    assert PruneSpec(thousandths / 1000).count_kept(num_tokens) == (1000 - thousandths) * hundreds


def test_an_empty_group_stays_empty() -> None:
    assert PruneSpec(0.5).count_kept(0) == 0


@given(size=sizes, ratio=ratios)
def test_a_plan_is_made_of_plain_integers(size: Size, ratio: float) -> None:
    plan = LLAVA_NEXT.plan(size, ratio)
    counts = (plan.groups[0].tokens, plan.groups[1].tokens, plan.input, plan.kept, plan.units)
    assert {type(number) for number in (*PlannedImage(plan).row(), *counts)} == {int}


@pytest.mark.parametrize(
    "ratio",
    [
        *(True, False, None, "0.5", "9" * 10**6, b"0.5", [0.5], 0.5j),
        *(1, 1.0, 1.5, -0.1, 10**400, -(10**400), Fraction(1), np.float32(1)),
        *(float("nan"), float("inf"), -float("inf")),
    ],
    ids=lambda ratio: f"{type(ratio).__name__}-{str(ratio)[:8]}",
)
def test_anything_but_a_number_from_0_to_1_is_refused_in_few_words(ratio: Any) -> None:
    with pytest.raises(ValueError, match=r"prune_ratio must be a number in \[0, 1\), got ") as refusal:
        PruneSpec(ratio)
    assert len(str(refusal.value)) < 120


@pytest.mark.parametrize("ratio", [Fraction(1, 4), np.float32(0.25), np.float64(0.25)])
def test_any_real_number_becomes_a_float(ratio: Any) -> None:
    spec = PruneSpec(ratio)
    assert spec == PruneSpec(0.25)
    assert type(spec.ratio) is float


def test_zeros_are_one_value() -> None:
    zeros = [PruneSpec(0), PruneSpec(0.0), PruneSpec(-0.0), PruneSpec()]
    assert len({repr(spec) for spec in zeros}) == 1
    assert len(set(zeros)) == 1


@pytest.mark.parametrize("size", [(0, 10), (10, 0), (-1, 10)])
def test_an_image_without_pixels_is_refused(size: Size) -> None:
    with pytest.raises(ValueError, match="size must be positive"):
        LLAVA_NEXT.plan(size)


def test_no_pinpoints_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one resolution"):
        plan_tokens((10, 10), [], 336, 14, PruneSpec())


@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_largest_plan_is_the_one_vllm_profiles(name: str) -> None:
    geometry = GEOMETRIES[name]
    width, height = INFOS[name].get_image_size_with_most_features()
    largest = largest_plan(geometry.pinpoints, geometry.crop_size, geometry.patch_size)
    assert largest == geometry.plan((height, width))
    assert largest.input == INFOS[name].get_num_image_tokens(image_height=height, image_width=width)


@pytest.mark.parametrize("name", GEOMETRIES)
@given(size=sizes)
def test_no_image_exceeds_the_largest_plan(name: str, size: Size) -> None:
    geometry = GEOMETRIES[name]
    largest = largest_plan(geometry.pinpoints, geometry.crop_size, geometry.patch_size)
    plan = geometry.plan(size)
    assert plan.input <= largest.input
    assert plan.units <= largest.units


budgets = st.integers(1, 4000) | st.integers(1, 10**400)


@given(size=sizes, budget=budgets)
@example(size=(480, 640), budget=10**400)
def test_a_budget_is_kept_to_the_token(size: Size, budget: int) -> None:
    plan = LLAVA_NEXT.plan(size, budget=budget)
    groups = 1 + (plan.groups[1].tokens > 0)
    assert plan.patches_kept == min(plan.patches, max(groups, budget))
    assert 1 <= plan.groups[0].kept <= plan.groups[0].tokens
    assert min(1, plan.groups[1].tokens) <= plan.groups[1].kept <= plan.groups[1].tokens


@given(size=sizes, budget=budgets)
def test_a_budget_is_shared_in_proportion(size: Size, budget: int) -> None:
    plan = LLAVA_NEXT.plan(size, budget=budget)
    share = Fraction(min(budget, plan.patches) * plan.groups[0].tokens, plan.patches)
    assert abs(plan.groups[0].kept - share) <= Fraction(1, 2) or plan.groups[0].kept == 1


@given(size=sizes, pair=st.tuples(budgets, budgets))
def test_a_larger_budget_never_keeps_fewer(size: Size, pair: tuple[int, int]) -> None:
    less, more = (LLAVA_NEXT.plan(size, budget=budget) for budget in sorted(pair))
    assert less.groups[0].kept <= more.groups[0].kept
    assert less.groups[1].kept <= more.groups[1].kept


def test_a_budget_as_large_as_the_image_prunes_nothing() -> None:
    whole = LLAVA_NEXT.plan((480, 640))
    assert (whole.patches, whole.groups[1].rows) == (2304, 36)
    assert LLAVA_NEXT.plan((480, 640), budget=2304) == whole
    assert LLAVA_NEXT.plan((480, 640), budget=2303).pruned


def test_the_paper_that_others_compare_by_keeps_640_tokens() -> None:
    plan = LLAVA_NEXT.plan((480, 640), budget=640)
    assert (plan.groups[0].kept, plan.groups[1].kept, plan.kept) == (160, 480, 676)


@pytest.mark.parametrize("budget", [0, -1, True, 1.0, "5", float("nan"), [5], np.int64(5), -(10**400), "9" * 10**6])
def test_anything_but_a_positive_integer_is_no_budget(budget: Any) -> None:
    with pytest.raises(SpecError, match="visual_token_budget must be a positive integer, got ") as refusal:
        PruneSpec(budget=budget)
    assert (refusal.value.field, refusal.value.reason) == ("visual_token_budget", "invalid_budget")
    assert len(str(refusal.value)) < 120


def test_a_ratio_and_a_budget_at_once_are_refused() -> None:
    with pytest.raises(SpecError, match="exclude each other") as refusal:
        PruneSpec(0.5, 100)
    assert (refusal.value.field, refusal.value.reason) == ("visual_token_budget", "ratio_and_budget")


def test_what_may_prune_says_so() -> None:
    assert [spec.prunes for spec in (PruneSpec(), PruneSpec(0.1), PruneSpec(budget=1))] == [False, True, True]


@given(size=sizes, ratio=ratios, method=st.integers(0, 9), seed=st.integers(0, 2**32 - 1))
def test_what_the_model_is_told_survives_as_integers(size: Size, ratio: float, method: int, seed: int) -> None:
    image = PlannedImage(LLAVA_NEXT.plan(size, ratio), method, seed)
    assert PlannedImage.of(torch.tensor(image.row()).tolist()) == image
