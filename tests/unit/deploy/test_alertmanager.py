"""An alert of the shipped rules reaches a receiver: Prometheus, Alertmanager and what is between them are real."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from gprune_server.launch import free_port
from tests.support.deploy.alertmanager import Receiver, run_alertmanager
from tests.support.deploy.dashboards import rule_files, rules
from tests.support.deploy.prometheus import SHIPPED, run_prometheus, wait_until
from tests.support.tools import require, run


def without_waiting(folder: Path) -> list[str]:
    """Copies of the shipped rules whose alerts fire at once."""
    for file in rule_files():
        document = yaml.safe_load(file.read_text())
        for group in document["groups"]:
            for rule in group["rules"]:
                rule.pop("for", None)
        (folder / file.name).write_text(yaml.safe_dump(document))
    return [str(folder / file.name) for file in rule_files()]


@pytest.fixture
def alert(tmp_path: Path) -> dict[str, Any]:
    """The first alert that arrives while no server is to be reached."""
    with Receiver.running() as receiver, run_alertmanager(tmp_path, receiver) as address:
        alerting = {"alertmanagers": [{"static_configs": [{"targets": [address]}]}]}
        target = f"127.0.0.1:{free_port()}"
        with run_prometheus(tmp_path, target, alerting=alerting, rule_files=without_waiting(tmp_path)):
            wait_until(lambda: bool(receiver.alerts), "no alert arrives")
    return receiver.alerts[0]


def test_an_alert_arrives_with_what_its_rule_says(alert: dict[str, Any]) -> None:
    rule = rules("alert")["GPruneServerAbsent"]
    assert alert["status"] == "firing"
    assert alert["labels"] == {"alertname": "GPruneServerAbsent", **rule["labels"]}
    assert alert["annotations"] == rule["annotations"]


@pytest.mark.parametrize("severity", ["critical", "warning"])
def test_alerts_of_each_severity_have_a_receiver(severity: str) -> None:
    routed = run(
        *(require("amtool"), "config", "routes", "test", f"severity={severity}"),
        f"--config.file={SHIPPED / 'alertmanager.yml'}",
    )
    assert (routed.returncode, routed.stdout.splitlines()[-1]) == (0, "to-replace")
