"""Table 1 on the demo model, with a few questions to a server that runs already."""

import json
import os
from unittest import mock

import pytest

from evaluation.__main__ import main
from tests.engine.evaluation.table import Table
from tests.support.servers import API_KEY, Server

METHODS = ("random", "gprune", "divprune")
RATIOS = (0.5, 0.9)


def words(server: Server, folder: os.PathLike[str]) -> list[str]:
    """The command line."""
    ratios = [str(ratio) for ratio in RATIOS]
    asked = ["--quick", "--methods", *METHODS, "--ratios", *ratios]
    return ["table1", "--url", server.url, *asked, "--output", str(folder)]


@pytest.fixture(scope="module")
def table(demo_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Table:
    folder = tmp_path_factory.mktemp("table1")
    with mock.patch.dict(os.environ, {"VLLM_API_KEY": API_KEY}):
        assert main(words(demo_server, folder)) == 0
    return Table(folder, METHODS, RATIOS)


def test_every_method_answers_the_same_questions_at_every_ratio(table: Table) -> None:
    table.check_that_every_cell_has_the_same_questions()


def test_without_pruning_the_model_is_as_good_as_promised(table: Table) -> None:
    table.check_that_the_model_is_as_good_as_promised()


def test_more_pruning_leaves_fewer_tokens_and_costs_less(table: Table) -> None:
    table.check_that_pruning_saves()


def test_gprune_is_not_below_random_where_it_is_said_to_be(table: Table) -> None:
    table.check_that_gprune_is_not_below_random()


def test_run_again_it_asks_nothing(table: Table, demo_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*_: object) -> None:
        raise AssertionError("all answers were known")

    monkeypatch.setenv("VLLM_API_KEY", API_KEY)
    monkeypatch.setattr("evaluation.service.Service.answer", answer)
    assert main(words(demo_server, table.folder)) == 0
    assert json.loads((table.folder / "table1.json").read_text()) == table.rows
