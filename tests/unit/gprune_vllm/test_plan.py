"""Counting what stays of groups, and specifications of it."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from gprune_vllm.plan import PlannedImage, PruneSpec, SpecError
from tests.unit.gprune_vllm.support import GEOMETRIES, Size, ratios, sizes

LLAVA_NEXT = GEOMETRIES["llava-next"]


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


@given(size=sizes, ratio=ratios, method=st.integers(0, 9), digest=st.integers(0, 2**63 - 1))
def test_what_the_model_is_told_survives_as_integers(size: Size, ratio: float, method: int, digest: int) -> None:
    image = PlannedImage(LLAVA_NEXT.plan(size, ratio), method, digest)
    assert PlannedImage.of(torch.tensor(image.row()).tolist()) == image
