"""Table 1 in its quick form, on the demo model: all methods at all ratios, with a server of its own."""

from pathlib import Path

import pytest

from evaluation.__main__ import main
from evaluation.cell import METHODS, RATIOS
from tests.engine.evaluation.table import Table


def test_the_quick_form_starts_a_server_and_measures_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["table1", "--quick", "--output", str(tmp_path)]) == 0
    table = Table(tmp_path, METHODS, RATIOS)
    table.check_that_every_cell_has_the_same_questions()
    table.check_that_the_model_is_as_good_as_promised()
    table.check_that_pruning_saves()
    table.check_that_gprune_is_not_below_random()
    assert "served with --dtype" in (tmp_path / "table1.md").read_text()

    monkeypatch.setattr("evaluation.service.launched", None)  # run again it asks nothing
    assert main(["table1", "--quick", "--output", str(tmp_path)]) == 0
