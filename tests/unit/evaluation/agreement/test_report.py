"""Judgements become rows with intervals, a recommendation, and a plot."""

from pathlib import Path

import pytest

from evaluation.agreement.judgement import Judgement, Judgements
from evaluation.agreement.report import Row, draw, recommendation, table_of
from evaluation.cell import UNPRUNED, Cell
from evaluation.score import clustered_interval

PICTURES = 50


def judgements(method: str, ratio: float, agreement: float, tokens: int = 10) -> list[Judgement]:
    kept = round(100 * (1 - ratio))
    return [
        Judgement(f"{method}{ratio}{each}", method, ratio, f"{each}.png", tokens, agreement, 0.1, 100, kept)
        for each in range(PICTURES)
    ]


def row(method: str, ratio: float, agreement: float) -> Row:
    found = Row.of(Cell(method, ratio), judgements(method, ratio, agreement))
    assert found is not None
    return found


ROWS = [row(UNPRUNED, 0, 1), row("gprune", 0.5, 0.99), row("gprune", 0.7, 0.97), row("random", 0.7, 0.5)]


def test_the_largest_ratio_that_keeps_enough_is_recommended() -> None:
    text = recommendation(ROWS, PICTURES, 0.95)
    assert text.startswith(
        "0.7 with gprune keeps 97% (97 to 97) of answer tokens on these 50 pictures, and saves 70% of visual tokens."
    )
    assert recommendation(ROWS, PICTURES, 0.98).startswith("0.5 with gprune keeps 99%")


def test_where_nothing_keeps_enough_that_is_said() -> None:
    text = recommendation(ROWS, PICTURES, 0.995)
    assert text.startswith("No measured ratio surely keeps 100%. 0.5 with gprune keeps 99%")
    assert recommendation(ROWS[:1], PICTURES, 0.9) == "No pruned answer was judged."


def test_answers_that_were_not_judged_are_counted_apart() -> None:
    found = Row.of(Cell("gprune", 0.7), [*judgements("gprune", 0.7, 1), *judgements("gprune", 0.7, 0, tokens=0)])
    assert found is not None
    assert (found.judged, found.skipped, found.agreement) == (PICTURES, PICTURES, 1)
    assert Row.of(Cell("gprune", 0.7), judgements("gprune", 0.7, 0, tokens=0)) is None


def test_questions_about_one_picture_are_one_observation() -> None:
    values = [0.0, 1.0] * 20
    apart = clustered_interval(values, [str(number) for number in range(40)])
    together = clustered_interval(values, [str(number % 2) for number in range(40)])
    assert together == (0, 1)
    assert clustered_interval([1.0] * 40, [str(number % 16) for number in range(40)]) == pytest.approx(
        (0.806, 1), abs=0.001
    )
    assert 0.3 < apart[0] < 0.5 < apart[1] < 0.7


def test_the_table_and_the_plot_have_every_row(tmp_path: Path) -> None:
    assert table_of(ROWS).count("\n") == len(ROWS) + 2
    draw(ROWS, tmp_path / "agreement.png")
    assert (tmp_path / "agreement.png").read_bytes().startswith(b"\x89PNG")


def test_judgements_outlive_the_run(tmp_path: Path) -> None:
    (one, *_) = judgements("gprune", 0.7, 0.9)
    Judgements(tmp_path).add(one)
    again = Judgements(tmp_path)
    assert one.key in again
    assert again[one.key] == one
