"""Statistics, tables and provenance of all reports."""

import json
import math
import random
from pathlib import Path

import pytest
from PIL import Image

from loadtest.reporting import (
    as_json,
    command_line,
    duration,
    durations,
    estimate,
    percents,
    plots,
    quartiles,
    ratio,
    table,
    write_json,
    write_report,
)


def test_a_report_is_three_files_that_say_where_they_come_from(tmp_path: Path) -> None:
    figure, (left, right) = plots(2)
    left.plot([1, 2], [3, 4])
    right.plot([1, 2], [4, 3])
    body = ["Some words.", table(["name", "value"], [["a", 1]])]
    text = write_report(tmp_path / "new", "cost", "The cost", "python -m cost", {"value": 1.5}, body, figure)
    content = json.loads((tmp_path / "new/cost.json").read_text())
    assert list(content) == ["date", "command", "commit", "hardware", "versions", "value"]
    assert (content["command"], content["value"]) == ("python -m cost", 1.5)
    assert " cores of " in content["hardware"]
    assert "torch " in content["versions"]
    assert text == (tmp_path / "new/cost.md").read_text()
    assert text.startswith(f"# The cost\n\n`python -m cost` on {content['date']} at commit {content['commit']} on ")
    assert text.endswith("Some words.\n\n| name | value |\n| --- | ---: |\n| a | 1 |\n\n![The cost](cost.png)\n")
    with Image.open(tmp_path / "new/cost.png") as picture:
        assert picture.size == (1000, 400)


def test_a_report_without_a_figure_shows_none(tmp_path: Path) -> None:
    assert "![" not in write_report(tmp_path, "cost", "The cost", "python -m cost", {}, [])
    assert {file.name for file in tmp_path.iterdir()} == {"cost.json", "cost.md"}


def test_numbers_that_are_not_finite_are_null(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"values": [1.0, float("nan"), float("inf"), "é"]})
    assert (tmp_path / "a.json").read_text() == '{\n "values": [\n  1.0,\n  null,\n  null,\n  "é"\n ]\n}\n'


def test_a_command_tells_neither_folders_nor_secrets(tmp_path: Path) -> None:
    model = tmp_path / "weights"
    model.mkdir()
    words = ["prefill", "--output", "results", "--api-key=secret", "--model", str(model), "--rounds", "3"]
    assert command_line("loadtest", words) == "python -m loadtest prefill --model weights --rounds 3"


def test_quartiles() -> None:
    assert quartiles([5.0, 1.0, 4.0, 2.0, 300.0]) == (2.0, 4.0, 5.0)
    assert quartiles([0.25]) == (0.25, 0.25, 0.25)


def test_times_have_a_median_and_quartiles_in_files() -> None:
    assert as_json([5.0, 1.0, 4.0, 2.0, 300.0]) == {
        "median": 4.0,
        "quartiles": [2.0, 5.0],
        "seconds": [5.0, 1.0, 4.0, 2.0, 300.0],
    }


@pytest.mark.parametrize(
    ("seconds", "shown"), [(12.345, "12.3 s"), (1.0, "1 s"), (0.01234, "12.3 ms"), (2.5e-5, "25 µs"), (0.0, "0 µs")]
)
def test_durations_are_shown_in_a_unit_one_can_read(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_times_and_shares_are_shown_with_their_spread() -> None:
    assert durations([0.001, 0.002, 0.003]) == "2 ms (1.5 ms to 2.5 ms)"
    assert percents({"value": 0.5, "low": 0.25, "high": 1.0}, 0) == "50 % (25 % to 100 %)"


def test_an_interval_holds_the_truth_and_narrows_with_more_rounds() -> None:
    source = random.Random(0)

    def noisy(mean: float, rounds: int) -> list[float]:
        return [source.gauss(mean, 0.1) for _ in range(rounds)]

    few, many = (ratio(noisy(2.0, rounds), noisy(1.0, rounds)) for rounds in (20, 500))
    assert few["low"] < 2 < few["high"]
    assert many["low"] < 2 < many["high"]
    assert many["high"] - many["low"] < (few["high"] - few["low"]) / 2


def test_rounds_are_kept_together_where_they_are_drawn_again() -> None:
    # What slows a whole round slows both alike, and leaves the ratio as sure as it was.
    left = [1.0, 2.0, 30.0, 4.0]
    assert ratio(left, [seconds / 2 for seconds in left]) == {"value": 2.0, "low": 2.0, "high": 2.0}


def test_one_round_has_no_interval() -> None:
    found = estimate(lambda value: 2 * value, [3.0])
    assert found["value"] == 6.0
    assert math.isnan(found["low"])
    assert math.isnan(found["high"])
