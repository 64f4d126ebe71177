"""What holds of every table 1 on the demo model, whatever is asked."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from evaluation.cell import UNPRUNED
from evaluation.figures.curves import pooled
from evaluation.scenes.questions import FAMILIES, MAKERS
from tests.engine.evaluation.floors import AT_RATIO_ZERO, GPRUNE_NOT_BELOW_RANDOM

Rows = list[dict[str, Any]]


class Table:
    """`table1.json` of a folder.

    Args:
        folder: that `python -m evaluation table1` wrote to.
        methods: those it was told to measure, in order.
        ratios: likewise.
    """

    def __init__(self, folder: Path, methods: Sequence[str], ratios: Sequence[float]) -> None:
        self.folder, self.methods, self.ratios = folder, methods, ratios
        self.rows: Rows = json.loads((folder / "table1.json").read_text())

    def of(self, method: str, ratio: float) -> Rows:
        return [row for row in self.rows if (row["method"], row["ratio"]) == (method, ratio)]

    def check_that_every_cell_has_the_same_questions(self) -> None:
        cells = [(UNPRUNED, 0.0), *((method, ratio) for method in self.methods for ratio in self.ratios)]
        assert [(row["method"], row["ratio"], row["task"]) for row in self.rows] == [
            (*cell, task) for cell in cells for task in MAKERS
        ]
        questions = {row["task"]: row["questions"] for row in self.of(UNPRUNED, 0.0)}
        assert all(row["questions"] == questions[row["task"]] > 0 for row in self.rows)
        assert all(row["low"] <= row["accuracy"] <= row["high"] for row in self.rows)
        assert all(row["samples_per_second"] > 0 for row in self.rows)

    def check_that_the_model_is_as_good_as_promised(self) -> None:
        accuracies = {row["task"]: row["accuracy"] for row in self.of(UNPRUNED, 0.0)}
        assert {task: accuracies[task] for task, floor in AT_RATIO_ZERO.items() if accuracies[task] < floor} == {}

    def check_that_pruning_saves(self) -> None:
        """More pruning leaves fewer tokens and costs less, the same with each method."""
        for column in ("visual_tokens", "flops"):
            unpruned = self.of(UNPRUNED, 0.0)[0][column]
            (series,) = {tuple(self.of(method, ratio)[0][column] for ratio in self.ratios) for method in self.methods}
            assert all(more > less for more, less in pairwise([unpruned, *series]))

    def check_that_gprune_is_not_below_random(self) -> None:
        for family in GPRUNE_NOT_BELOW_RANDOM:
            assert family in FAMILIES
            gprune, random = (
                pooled([row for row in self.of(method, 0.5) if row["family"] == family])
                for method in ("gprune", "random")
            )
            assert gprune.accuracy >= random.accuracy, family
