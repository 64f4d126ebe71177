"""Where tokens lie, held against Transformers' own unpadding of an image whose pixels are their indices."""

import pytest
import torch
from hypothesis import given
from torch import Tensor
from transformers.models.llava_next.modeling_llava_next import unpad_image

from gprune_vllm.families.llava_next import grid_index
from gprune_vllm.plan import TokenPlan
from tests.unit.gprune_vllm.support import FAMILY, GEOMETRIES, SMALL, Geometry, Size, sizes, small_sizes


def unpadded_index(plan: TokenPlan, size: Size) -> Tensor:
    """Indices of the crops' patches, put together to the padded grid and unpadded by Transformers."""
    side = plan.groups[0].rows
    index = torch.arange(plan.units * side**2).view(plan.units, side, side)
    crops = index[1:].view(plan.geometry[0], plan.geometry[1], side, side)
    padded = crops.permute(0, 2, 1, 3).reshape(1, plan.geometry[0] * side, plan.geometry[1] * side)
    unpadded: Tensor = unpad_image(padded, size)[0]
    return unpadded  # [grid_height, grid_width]


def check(geometry: Geometry, size: Size) -> None:
    plan = geometry.plan(size)
    expected = unpadded_index(plan, size)
    assert torch.equal(grid_index(plan), expected.flatten())
    rows = torch.cat((expected, torch.full((plan.groups[1].rows, 1), -1)), dim=1).flatten()  # -1 is a newline
    layout = FAMILY.layout(plan)
    assert torch.equal(layout.groups[1], plan.groups[0].tokens + (rows >= 0).nonzero().flatten())
    assert torch.equal(layout.structural, plan.groups[0].tokens + (rows < 0).nonzero().flatten())


@pytest.mark.parametrize("name", GEOMETRIES)
@given(size=sizes)
def test_the_grid_lies_where_transformers_puts_it(name: str, size: Size) -> None:
    check(GEOMETRIES[name], size)


def test_every_small_image_lies_where_transformers_puts_it() -> None:
    for height in range(1, 80, 3):
        for width in range(1, 80):
            check(SMALL, (height, width))


@given(size=small_sizes)
def test_positions_share_out_the_sequence(size: Size) -> None:
    plan = SMALL.plan(size)
    layout = FAMILY.layout(plan)
    assert torch.cat((*layout.groups, layout.structural)).sort().values.tolist() == list(range(plan.input))


@given(size=small_sizes)
def test_each_patch_of_the_grid_is_taken_once_and_none_of_the_base_crop(size: Size) -> None:
    plan = SMALL.plan(size)
    index = grid_index(plan).tolist()
    assert len(set(index)) == len(index) == plan.groups[1].tokens
    assert set(index) <= set(range(plan.groups[0].tokens, plan.units * plan.groups[0].tokens))


@given(size=small_sizes)
def test_indices_are_int64_and_positions_ascend(size: Size) -> None:
    plan = SMALL.plan(size)
    layout = FAMILY.layout(plan)
    assert grid_index(plan).dtype == torch.int64
    for positions in (*layout.groups, layout.structural):
        assert positions.dtype == torch.int64
        assert (positions.diff() > 0).all()
