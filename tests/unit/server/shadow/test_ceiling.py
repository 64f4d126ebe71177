"""The ceiling falls when agreement is surely too low, rises when it is surely high enough, and never flaps."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gprune_server.shadow.ceiling import FEWEST, HOLD, LEVELS, LONGEST_HOLD, MOST, Ceiling
from gprune_server.shadow.verdict import Verdict
from gprune_vllm.account import VisualTokenAccount
from gprune_vllm.defaults import METHOD
from gprune_vllm.settings import PruneSettings

LEAST, LARGEST = 0.9, 0.8
STEPS = [0.8, 0.6, 0.4, 0.2, 0.0]
DEFAULTED = VisualTokenAccount(input=100, kept=20, ratio=LARGEST, source="adaptive")


class Case:
    """A ceiling with a clock that the test sets, and what it exposed."""

    def __init__(self) -> None:
        self.now, self.exposed = 0.0, list[float]()
        self.ceiling = Ceiling(LEAST, LARGEST, METHOD, self.exposed.append, lambda: self.now)

    def judge(self, agreements: Iterable[float], **changes: object) -> float:
        """Report verdicts on answers at the ceiling, and return the ceiling after them."""
        for agreement in agreements:
            account = replace(DEFAULTED, **{"ratio": self.ceiling.ratio(), **changes})  # type: ignore[arg-type]
            self.ceiling.observe(account, Verdict(agreement, 1.0))
        return self.ceiling.ratio()

    def judge_until_it_moves(self, agreement: float) -> None:
        """Report verdicts of one agreement until the ceiling moves, and none after that."""
        before = self.ceiling.ratio()
        while self.judge([agreement]) == before:
            pass

    def time_to_rise(self) -> float:
        """Have all answers agree until the ceiling rises, and return how long it took."""
        start = self.now
        before = self.judge([1.0] * FEWEST)
        while self.judge([1.0]) == before:
            self.now += HOLD
        return self.now - start


@pytest.fixture
def case() -> Case:
    return Case()


def test_it_begins_at_the_largest_ratio(case: Case) -> None:
    assert case.exposed == [case.ceiling.ratio()] == [LARGEST]


def test_it_falls_level_by_level_to_no_pruning_and_no_further(case: Case) -> None:
    case.judge([0.1] * FEWEST * (LEVELS + 3))
    assert case.exposed == pytest.approx(STEPS)


def test_a_few_verdicts_decide_nothing(case: Case) -> None:
    assert case.judge([0.1] * (FEWEST - 1)) == LARGEST
    assert case.judge([0.1]) < LARGEST


def test_a_mean_below_the_least_agreement_without_confidence_decides_nothing(case: Case) -> None:
    assert case.judge([1.0, 0.7] * (FEWEST // 2)) == LARGEST
    assert case.judge([1.0, 0.7] * MOST) < LARGEST


def test_verdicts_that_are_old_are_forgotten(case: Case) -> None:
    case.judge([1.0] * 10 * MOST)
    assert case.judge([0.5] * MOST) < LARGEST


@pytest.mark.parametrize("changes", [{"source": "request"}, {"method": "random"}, {"ratio": 0.3}])
def test_answers_that_the_server_did_not_choose_do_not_count(case: Case, changes: dict[str, object]) -> None:
    assert case.judge([0.0] * MOST, **changes) == LARGEST


def test_it_rises_again_after_a_while(case: Case) -> None:
    fallen = case.judge([0.1] * FEWEST)
    case.now += HOLD - 1
    assert case.judge([1.0] * FEWEST) == fallen
    case.now += 1
    assert case.judge([1.0]) == LARGEST


def test_it_limits_nothing_before_it_falls(case: Case) -> None:
    assert case.ceiling.limit() == 1
    case.judge_until_it_moves(0.1)
    assert case.ceiling.limit() == STEPS[1]


def test_its_levels_follow_new_settings_and_older_verdicts_count_no_longer(case: Case) -> None:
    case.judge_until_it_moves(0.1)
    case.judge([0.1] * (FEWEST - 1))
    case.ceiling.follow(PruneSettings(default_prune_ratio=0.4))
    assert case.exposed[-1] == case.judge([0.1]) == pytest.approx(0.3)


def test_rises_that_fail_become_rarer(case: Case) -> None:
    case.judge_until_it_moves(0.1)
    waits = [case.time_to_rise()]
    for _ in range(6):
        case.judge_until_it_moves(0.1)
        waits.append(case.time_to_rise())
    assert waits == [HOLD, 2 * HOLD, 4 * HOLD, 8 * HOLD, 16 * HOLD, LONGEST_HOLD, LONGEST_HOLD]


def test_a_rise_that_holds_makes_the_next_one_quick_again(case: Case) -> None:
    for _ in range(2):
        case.judge_until_it_moves(0.1)
        assert case.time_to_rise() >= HOLD
    case.judge([1.0] * FEWEST)
    case.judge_until_it_moves(0.1)
    assert case.time_to_rise() == HOLD


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 2 * HOLD)), max_size=300))
def test_it_moves_by_one_level_and_keeps_its_bounds(course: list[tuple[float, float]]) -> None:
    case = Case()
    for agreement, wait in course:
        case.now += wait
        case.judge([agreement] * FEWEST)
    levels = [STEPS.index(round(ratio, 6)) for ratio in case.exposed]
    assert all(abs(after - before) == 1 for before, after in pairwise(levels))
