"""Scores: what is right, and that intervals and sign tests are those of the results that are published here."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluation.comparison import marked
from evaluation.score import is_right, sign_test, wilson_interval

EVALUATION = Path(__file__).parents[3] / "evaluation"


@pytest.mark.parametrize(("answer", "right"), [("KELU", True), (" kelu\n", True), ("KEL", False), ("KELU.", False)])
def test_an_answer_is_right_if_it_is_the_expected_one_to_the_letter(answer: str, right: bool) -> None:
    assert is_right(answer, "KELU") is right


def measured() -> Iterator[dict[str, Any]]:
    """Every measured share of right answers."""
    for file in (EVALUATION / "results").glob("*.json"):
        yield from (row for row in json.loads(file.read_text()) if "low" in row)


def test_intervals_are_those_of_the_results() -> None:
    rows = list(measured())
    assert len(rows) > 400
    for row in rows:
        right = round(row["accuracy"] * row["questions"])
        assert wilson_interval(right, row["questions"]) == pytest.approx((row["low"], row["high"]), abs=1e-12)


def test_sign_tests_are_those_of_the_results() -> None:
    published = re.findall(r"(?<= )(\*{2})?\+(\d+) -(\d+)(?:\*{2})?(?= \|)", (EVALUATION / "RESULTS.md").read_text())
    assert len(published) > 60
    for mark, wins, losses in published:
        assert marked(int(wins), int(losses)) == f"{mark}+{wins} -{losses}{mark}"


def test_no_question_tells_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert sign_test(0, 0) == 1.0
