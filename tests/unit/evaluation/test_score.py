"""Scores, held against SciPy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from evaluation.score import is_right, sign_test, wilson_interval


@pytest.mark.parametrize(("answer", "right"), [("KELU", True), (" kelu\n", True), ("KEL", False), ("KELU.", False)])
def test_an_answer_is_right_if_it_is_the_expected_one_to_the_letter(answer: str, right: bool) -> None:
    assert is_right(answer, "KELU") is right


@given(st.integers(1, 2000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_intervals_are_scipys(counts: tuple[int, int]) -> None:
    expected = binomtest(*counts).proportion_ci(0.95, method="wilson")
    assert wilson_interval(*counts) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_no_question_tells_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


@given(st.integers(0, 200), st.integers(0, 200))
def test_the_sign_test_is_scipys(wins: int, losses: int) -> None:
    expected = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert sign_test(wins, losses) == pytest.approx(expected, rel=1e-9)
