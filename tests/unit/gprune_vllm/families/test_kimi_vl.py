"""What is special to Kimi-VL: an image of too many patches in a row, which the tower has no positions for."""

import pytest
from vllm.exceptions import VLLMValidationError

from gprune_vllm.families.kimi_vl import PATCHES_PER_SIDE
from gprune_vllm.plan import MediaSize, PruneSpec
from tests.support.families.kimi_vl import PATCH
from tests.unit.gprune_vllm.conftest import BuildFamily

LONGEST = (PATCHES_PER_SIDE - 2) * PATCH
"""Pixels of the longest row of whole tokens that the tower takes."""


def test_the_longest_row_is_planned(build_family: BuildFamily) -> None:
    plan = build_family("kimi_vl").info.plan("image", MediaSize(10, LONGEST), PruneSpec(0.5))
    assert (plan.input, plan.units) == (255, 1020)


@pytest.mark.parametrize("size", [MediaSize(10, LONGEST + 1), MediaSize(LONGEST + 1, 10)])
def test_a_longer_one_is_refused(build_family: BuildFamily, size: MediaSize) -> None:
    with pytest.raises(VLLMValidationError, match=f"{PATCHES_PER_SIDE} patches or more") as refusal:
        build_family("kimi_vl").info.plan("image", size, PruneSpec())
    assert refusal.value.parameter == "image_url"
