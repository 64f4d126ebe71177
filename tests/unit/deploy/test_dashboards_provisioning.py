"""Grafana is provisioned with the Prometheus beside it, and with the shipped dashboards."""

from typing import Any

import yaml

from tests.support.tools import ROOT

PROVISIONING = ROOT / "deploy/grafana/provisioning"


def read(name: str) -> Any:
    return yaml.safe_load((PROVISIONING / name).read_text())


def test_the_datasource_is_the_prometheus_beside_grafana() -> None:
    (source,) = read("datasources/prometheus.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert source["isDefault"]


def test_the_datasource_knows_the_scrape_interval() -> None:
    (source,) = read("datasources/prometheus.yaml")["datasources"]
    prometheus = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]


def test_dashboards_are_read_from_where_compose_mounts_them() -> None:
    (provider,) = read("dashboards/gprune.yaml")["providers"]
    compose = yaml.safe_load((ROOT / "deploy/compose/compose.yaml").read_text())
    assert f"../grafana/dashboards:{provider['options']['path']}:ro" in compose["services"]["grafana"]["volumes"]
