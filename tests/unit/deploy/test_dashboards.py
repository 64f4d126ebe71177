"""The shipped dashboards are those of the generator, and are whole."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from deploy.grafana.generate import main
from tests.support.deploy.dashboards import (
    DASHBOARDS,
    dashboards,
    inputs,
    panel_queries,
    panels,
    rules,
    variable_queries,
)
from tests.support.deploy.promql import metrics

SHIPPED = dashboards()
PANELS = {f"{name}: {panel['title']}": panel for name, board in SHIPPED.items() for panel in panels(board)}
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@pytest.fixture(params=SHIPPED)
def board(request: pytest.FixtureRequest) -> dict[str, Any]:
    return SHIPPED[request.param]


@pytest.fixture(params=PANELS)
def panel(request: pytest.FixtureRequest) -> dict[str, Any]:
    return PANELS[request.param]


def test_shipped_dashboards_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out
    assert capsys.readouterr().out == ""


def test_a_stale_dashboard_is_told_by_its_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--directory", str(tmp_path)])
    stale = tmp_path / "cost.json"
    stale.write_text(stale.read_text().replace("G-Prune / Cost", "Costs"))
    assert main(["--check", "--directory", str(tmp_path)]) == 1
    changes = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("+ ", "- "))]
    assert changes == ['-  "title": "Costs",', '+  "title": "G-Prune / Cost",']


def test_a_missing_dashboard_is_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", "--directory", str(tmp_path)]) == 1
    assert str(tmp_path / "overview.json") in capsys.readouterr().out


def test_writing_makes_the_check_pass(tmp_path: Path) -> None:
    assert main(["--directory", str(tmp_path / "new")]) == 0
    assert main(["--check", "--directory", str(tmp_path / "new")]) == 0


def test_dashboards_are_told_apart() -> None:
    assert len({board["uid"] for board in SHIPPED.values()}) == len({board["title"] for board in SHIPPED.values()}) == 3


def test_dashboards_link_to_each_other_and_to_those_of_vllm(board: dict[str, Any]) -> None:
    assert {"gprune", "vllm"} <= set(board["tags"])
    links = {tuple(link["tags"]): (link["includeVars"], link["keepTime"]) for link in board["links"]}
    assert links == {("gprune",): (True, True), ("vllm",): (True, True)}
    assert list(variable_queries(board)) == ["namespace", "job", "model_name", "instance"]


def test_all_namespaces_include_servers_without_one(board: dict[str, Any]) -> None:
    """Compose has no namespaces, and a list of those that exist would leave its servers out."""
    (namespace,) = [each for each in board["templating"]["list"] if each["name"] == "namespace"]
    assert namespace["allValue"] == ".*"
    assert namespace["current"]["value"] == ["$__all"]


def test_the_price_is_for_operators_to_fill_in_and_what_it_yields_is_marked_as_an_estimate() -> None:
    assert inputs(SHIPPED["cost"]) == {"gpu_hour_price": "1"}
    priced = [panel["title"] for panel in PANELS.values() if "$gpu_hour_price" in panel["targets"][0]["expr"]]
    assert priced
    assert all("(estimate)" in title for title in priced)


def test_every_recording_rule_of_the_objectives_is_shown() -> None:
    shown = set().union(*(metrics(query.expression) for query in panel_queries().values()))
    assert {name for name in rules("record") if re.match("job:gprune_(first|server|rejections)", name)} <= shown


def colours(title: str) -> list[tuple[float | None, str]]:
    """The colours of a tile, each with the value from which it holds."""
    steps = PANELS[f"overview: {title}"]["fieldConfig"]["defaults"]["thresholds"]["steps"]
    return [(step["value"], step["color"]) for step in steps]


def bounds(alert: str) -> list[float]:
    """The numbers of an alert's first comparison: what it fires above, as factors."""
    (compared, *_) = re.findall(r"> ([\d.]+(?: \* [\d.]+)?)", rules("alert")[alert]["expr"])
    return [float(factor) for factor in compared.split(" * ")]


def test_tiles_of_the_objectives_turn_red_where_their_alerts_fire() -> None:
    fast, late = bounds("GPruneFirstTokenBudgetBurnsFast")
    slow, _ = bounds("GPruneFirstTokenBudgetBurnsSlowly")
    (errors,) = bounds("GPruneErrorRateHigh")
    assert colours("First tokens in time") == [(None, "red"), (1 - late, "green")]
    assert colours("Burn rate, 1 hour") == [(None, "green"), (fast, "red")]
    assert colours("Burn rate, 6 hours") == [(None, "green"), (slow, "red")]
    assert colours("Answers without server error") == [(None, "red"), (1 - errors, "green")]


def test_panels_of_a_dashboard_are_told_apart(board: dict[str, Any]) -> None:
    for key in ("id", "title"):
        values = [panel[key] for panel in board["panels"]]
        assert len(values) == len(set(values))


def test_panels_do_not_overlap(board: dict[str, Any]) -> None:
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in board["panels"])
        for x, y in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        )
    ]
    assert len(cells) == len(set(cells))
    assert all(0 <= x < 24 for x, _ in cells)


def test_panels_are_described_with_a_unit_and_the_datasource_chosen(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == DATASOURCE
    assert all(target["datasource"] == DATASOURCE for target in panel["targets"])


def test_series_have_a_legend_of_their_own(panel: dict[str, Any]) -> None:
    legends = [target.get("legendFormat") for target in panel["targets"]]
    assert len(set(legends)) == len(legends)
    assert panel["type"] in {"stat", "table"} or all(legends)


def test_there_is_nothing_else_in_the_directory() -> None:
    assert {path.name for path in DASHBOARDS.iterdir()} == {"overview.json", "comparison.json", "cost.json"}
