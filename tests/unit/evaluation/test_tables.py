"""Tables from answers that are known, and the settings behind their rows."""

import json
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from evaluation.cell import UNPRUNED, Cell
from evaluation.commands import beyond, table2, table3
from evaluation.commands.results import fill
from evaluation.commands.table1 import markdown
from evaluation.comparison import compare as compare_methods
from evaluation.comparison import comparisons, marked
from evaluation.failure import EvaluationError
from evaluation.journal import Answer
from evaluation.measurement import Measurement
from evaluation.result import Share, family_shares, mean_accuracy, rows, task_shares
from evaluation.variants import Variant, compare
from evaluation.variants import markdown as markdown_of_variants
from gprune_vllm.settings import PruneSettings


def measurement(method: str, ratio: float, right: Mapping[str, Sequence[bool]]) -> Measurement:
    """A cell in which the questions of each task were answered right or wrong as said."""
    answers = [
        Answer(f"{task}{number}", method, ratio, number, task, "?", "yes", "yes" if is_right else "no", 100, 60)
        for task, series in right.items()
        for number, is_right in enumerate(series)
    ]
    return Measurement(Cell(method, ratio), [], answers, 12.5, 8)


FULL = measurement(UNPRUNED, 0.0, {"reading": [True] * 4, "spelling": [True] * 4, "existence": [True, True]})
GPRUNE = measurement("gprune", 0.5, {"reading": [True] * 3 + [False], "spelling": [True] * 4, "existence": [True] * 2})
RANDOM = measurement("random", 0.5, {"reading": [False] * 4, "spelling": [True] * 4, "existence": [True, False]})


def test_a_family_pools_the_questions_of_its_tasks() -> None:
    assert task_shares(GPRUNE) == {"reading": Share(3, 4), "spelling": Share(4, 4), "existence": Share(2, 2)}
    assert family_shares(GPRUNE) == {"fine-grained": Share(7, 8), "hallucination": Share(2, 2)}
    assert mean_accuracy(family_shares(GPRUNE).values()) == (7 / 8 + 1) / 2


def test_json_has_a_row_a_task_in_the_form_others_build_on() -> None:
    report = rows(GPRUNE, flops=5e9)
    assert [row["task"] for row in report] == ["reading", "spelling", "existence"]
    first = report[0]
    assert {name: first[name] for name in ("method", "ratio", "task", "accuracy", "questions")} == {
        "method": "gprune",
        "ratio": 0.5,
        "task": "reading",
        "accuracy": 0.75,
        "questions": 4,
    }
    assert first["low"] < 0.75 < first["high"]
    assert (first["family"], first["visual_tokens"], first["flops"]) == ("fine-grained", 60, 5e9)
    json.dumps(report)


def test_table_1_shows_accuracies_intervals_and_speed() -> None:
    text = markdown([FULL, RANDOM, GPRUNE])
    assert "| gprune | 50% | 87.5 (53-98) | 100.0 (34-100) | 93.8 | 60 | 12.5 |" in text
    assert "10 questions a row, 8 in flight" in text


def test_methods_are_compared_on_the_same_questions() -> None:
    assert compare_methods(GPRUNE, RANDOM, "fine-grained") == "+3 -0"
    assert "| random | 50% | +3 -0 |" in comparisons([FULL, RANDOM, GPRUNE], "gprune")
    assert comparisons([FULL, RANDOM], "gprune") == ""


def test_a_clear_difference_is_bold() -> None:
    assert marked(6, 0) == "**+6 -0**"  # 2 / 64 by chance
    assert marked(5, 0) == "+5 -0"  # 2 / 32


class Questions:
    """A run that notes the servers it would start."""

    def __init__(self) -> None:
        self.started: list[Mapping[str, str]] = []

    def measure(self, cells: Sequence[Cell], settings: Mapping[str, str]) -> list[Measurement]:
        self.started.append(settings)
        return [measurement(cell.method, cell.ratio, {"reading": [True]}) for cell in cells]


@pytest.mark.parametrize(
    ("variants", "servers"), [(table2.VARIANTS, 2), (table3.VARIANTS, 7)], ids=["table2", "table3"]
)
def test_each_setting_has_one_server(variants: list[Variant], servers: int) -> None:
    questions = Questions()
    measurements = compare(questions, variants)  # type: ignore[arg-type]
    assert [one.cell for one in measurements] == [variant.cell for variant in variants]
    assert len(questions.started) == servers


def test_beyond_measures_every_setting_at_every_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(beyond, "write_variants", lambda arguments, name, variants: seen.extend(variants))
    beyond.run(Namespace(ratios=(0.5, 0.9)))
    assert len(seen) == 2 * len(beyond.SETTINGS)
    assert seen[0].settings == {}


@pytest.mark.parametrize("settings", [*beyond.SETTINGS.values(), *(one.settings for one in table3.VARIANTS)])
def test_settings_are_the_servers(settings: Mapping[str, str]) -> None:
    named = {name.replace("-", "_"): value for name, value in settings.items()}
    changed = PruneSettings.load(**named).model_dump(mode="json")
    different = {name for name, value in PruneSettings.load().model_dump(mode="json").items() if changed[name] != value}
    assert different == set(named)


def test_the_papers_rows_stand_beside_those_measured() -> None:
    measurements = [measurement("gprune", 0.7, {"reading": [True]}) for _ in table3.VARIANTS]
    text = markdown_of_variants(table3.VARIANTS, measurements)
    assert "| 5 | 0.9 | 100.0 (21-100) | 100.0 | 60 | 12.5 | 63.87 | 87.22 | 54.20 | 68.43 |" in text
    assert "| 7 | 0.5 | 100.0 (21-100) | 100.0 | 60 | 12.5 |  |  |  |  |" in text


def test_results_are_filled_in_between_their_marks() -> None:
    sections = {"table1": "| new |\n"}
    text = "Before\n<!-- table1 -->\n| old |\n<!-- end -->\nBetween\n<!-- table2 -->\nkept\n<!-- end -->\nAfter"
    filled = fill(text, sections)
    assert filled == fill(filled, sections)
    assert "| new |" in filled
    assert "| old |" not in filled
    assert "Between" in filled
    assert "kept" in filled
    with pytest.raises(EvaluationError, match="no section"):
        fill("nothing", sections)
