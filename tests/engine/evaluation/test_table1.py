"""Table 1 in its quick form, on the demo model, with a server of its own."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from evaluation.__main__ import main
from evaluation.cell import METHODS, RATIOS, UNPRUNED
from evaluation.demo.questions import FAMILIES, TASKS
from evaluation.figures.curves import pooled
from tests.engine.evaluation.floors import AT_RATIO_ZERO, GPRUNE_NOT_BELOW_RANDOM

Rows = list[dict[str, Any]]


class Table(NamedTuple):
    folder: Path
    rows: Rows

    def of(self, method: str, ratio: float) -> Rows:
        return [row for row in self.rows if (row["method"], row["ratio"]) == (method, ratio)]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    folder = tmp_path_factory.mktemp("table1")
    assert main(["table1", "--quick", "--output", str(folder)]) == 0
    return Table(folder, json.loads((folder / "table1.json").read_text()))


def test_every_method_answers_the_same_questions_at_every_ratio(table: Table) -> None:
    cells = [(UNPRUNED, 0.0), *((method, ratio) for method in METHODS for ratio in RATIOS)]
    assert [(row["method"], row["ratio"], row["task"]) for row in table.rows] == [
        (*cell, task) for cell in cells for task in TASKS
    ]
    questions = {row["task"]: row["questions"] for row in table.of(UNPRUNED, 0.0)}
    assert all(row["questions"] == questions[row["task"]] > 0 for row in table.rows)
    assert all(row["low"] <= row["accuracy"] <= row["high"] for row in table.rows)
    assert all(row["samples_per_second"] > 0 for row in table.rows)


def test_without_pruning_the_model_is_as_good_as_promised(table: Table) -> None:
    accuracies = {row["task"]: row["accuracy"] for row in table.of(UNPRUNED, 0.0)}
    assert {task: accuracies[task] for task, floor in AT_RATIO_ZERO.items() if accuracies[task] < floor} == {}


def test_more_pruning_leaves_fewer_tokens_and_costs_less(table: Table) -> None:
    for column in ("visual_tokens", "flops"):
        unpruned = table.of(UNPRUNED, 0.0)[0][column]
        by_method = {tuple(table.of(method, ratio)[0][column] for ratio in RATIOS) for method in METHODS}
        (series,) = by_method  # how many stay is no matter of the method
        assert descends([unpruned, *series])


def test_gprune_is_not_below_random_where_it_is_said_to_be(table: Table) -> None:
    for family in GPRUNE_NOT_BELOW_RANDOM:
        assert family in FAMILIES
        gprune, random = (
            pooled([row for row in table.of(method, 0.5) if row["family"] == family]) for method in ("gprune", "random")
        )
        assert gprune.accuracy >= random.accuracy, family


def test_run_again_it_asks_nothing(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    def serving(*_: object) -> None:
        raise AssertionError("all answers were known")

    monkeypatch.setattr("evaluation.service.serving", serving)
    assert main(["table1", "--quick", "--output", str(table.folder)]) == 0
    assert json.loads((table.folder / "table1.json").read_text()) == table.rows


def descends(values: Sequence[float]) -> bool:
    return all(more > less for more, less in pairwise(values))
