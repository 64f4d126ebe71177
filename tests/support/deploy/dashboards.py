"""The shipped dashboards, rules and what they ask Prometheus."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.deploy.prometheus import SHIPPED
from tests.support.tools import ROOT

DASHBOARDS = ROOT / "deploy/grafana/dashboards"


@dataclass(frozen=True, slots=True)
class Query:
    """A panel's query, and the legend that its series are shown with."""

    expression: str
    legend: str

    @property
    def legend_labels(self) -> set[str]:
        return set(re.findall(r"\{\{(\w+)\}\}", self.legend))


def dashboards() -> dict[str, dict[str, Any]]:
    """The dashboards by the names of their files."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def panels(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The panels of a dashboard, without its rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def panel_queries() -> dict[str, Query]:
    """The queries of all panels, each by a name for it."""
    return {
        f"{name}: {panel['title']} {target['refId']}": Query(target["expr"], target.get("legendFormat", ""))
        for name, dashboard in dashboards().items()
        for panel in panels(dashboard)
        for target in panel["targets"]
    }


def variable_queries(dashboard: Mapping[str, Any]) -> dict[str, str]:
    """The queries of a dashboard's variables, in the order in which Grafana asks them."""
    return {
        variable["name"]: variable["query"]
        for variable in dashboard["templating"]["list"]
        if variable["type"] == "query"
    }


def inputs(dashboard: Mapping[str, Any]) -> dict[str, str]:
    """The defaults of a dashboard's variables that one fills in."""
    variables = dashboard["templating"]["list"]
    return {variable["name"]: variable["query"] for variable in variables if variable["type"] == "textbox"}


def rules(kind: str) -> dict[str, dict[str, Any]]:
    """The shipped rules of a kind, `record` or `alert`, by name."""
    return {rule[kind]: rule for rule in _rules() if kind in rule}


def _rules() -> Iterator[dict[str, Any]]:
    for path in rule_files():
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


def rule_files() -> list[Path]:
    return sorted((SHIPPED / "rules").glob("*.rules.yml"))


def interpolate(query: str, values: Mapping[str, str]) -> str:
    """The query as Grafana sends it, with values for the variables."""
    return re.sub(r"\$(\w+)", lambda match: values[match[1]], query)
