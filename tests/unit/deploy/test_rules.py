"""The shipped rules are valid, fire when they should, and lead to the runbook. promtool judges."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.deploy.dashboards import rule_files, rules
from tests.support.deploy.prometheus import SHIPPED
from tests.support.tools import ROOT, promtool

ALERTS = rules("alert")
UNIT_TESTS = sorted((SHIPPED / "tests").glob("*.yml"))
RUNBOOK = ROOT / "docs/runbook.md"


def test_the_rules_are_valid() -> None:
    checked = promtool("check", "rules", "--lint-fatal", *rule_files())
    assert checked.returncode == 0, checked.stdout


def test_the_configuration_is_valid_and_reads_the_rules() -> None:
    checked = promtool("check", "config", "--lint-fatal", SHIPPED / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout
    assert f"SUCCESS: {len(rule_files())} rule files found" in checked.stdout


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(path: Path) -> None:
    tested = promtool("test", "rules", path)
    assert tested.returncode == 0, tested.stdout


def unit_cases() -> Iterator[tuple[str, bool]]:
    """Each alert that a unit test looks at, and whether it is to fire there."""
    for path in UNIT_TESTS:
        for group in yaml.safe_load(path.read_text())["tests"]:
            for case in group.get("alert_rule_test", []):
                yield case["alertname"], bool(case["exp_alerts"])


def test_every_alert_is_tested_firing_and_quiet() -> None:
    assert set(unit_cases()) == {(name, fires) for name in ALERTS for fires in (True, False)}


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_says_how_bad_it_is_and_where_to_read_on(name: str) -> None:
    annotations = ALERTS[name]["annotations"]
    assert ALERTS[name]["labels"]["severity"] in {"critical", "warning"}
    assert annotations["summary"]
    assert annotations["description"]
    assert annotations["runbook_url"] == f"https://gprune.example.com/docs/runbook.md#{name.lower()}"


def test_the_runbook_has_a_section_for_each_alert() -> None:
    assert re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.MULTILINE) == list(ALERTS)
