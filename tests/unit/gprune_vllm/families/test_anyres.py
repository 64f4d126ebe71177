"""LLaVA-NeXT's counts, held against vLLM's and Transformers' own."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from transformers import LlavaNextProcessor
from transformers.models.llava_next.modeling_llava_next import get_anyres_image_grid_shape, unpad_image
from vllm.model_executor.models.llava_next import LlavaNextProcessingInfo
from vllm.multimodal.processing.context import InputProcessingContext

from gprune_vllm.families.anyres import largest_plan, plan_tokens
from gprune_vllm.plan import PruneSpec, TokenPlan
from tests.unit.gprune_vllm.support import GEOMETRIES, Geometry, Size, sizes

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
