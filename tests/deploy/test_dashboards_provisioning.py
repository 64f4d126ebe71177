"""Grafana's provisioning files have the fields Grafana documents, and no others: it ignores what it does not know."""

from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

from tests.deploy.prometheus import ROOT

PROVISIONING = ROOT / "deploy/grafana/provisioning"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class PrometheusOptions(Strict):
    """`jsonData` of a Prometheus data source, as far as it is used."""

    httpMethod: Literal["POST", "GET"]
    timeInterval: str


class Datasource(Strict):
    name: str
    uid: str
    type: Literal["prometheus"]
    access: Literal["proxy"]
    url: str
    isDefault: bool
    editable: bool
    jsonData: PrometheusOptions


class Datasources(Strict):
    apiVersion: Literal[1]
    datasources: list[Datasource]


class ProviderOptions(Strict):
    path: str


class Provider(Strict):
    name: str
    folder: str
    type: Literal["file"]
    allowUiUpdates: bool
    disableDeletion: bool
    updateIntervalSeconds: int
    options: ProviderOptions


class Providers(Strict):
    apiVersion: Literal[1]
    providers: list[Provider]


def read(name: str) -> object:
    return yaml.safe_load((PROVISIONING / name).read_text())


def test_the_datasource_is_the_prometheus_beside_grafana() -> None:
    (source,) = Datasources.model_validate(read("datasources/prometheus.yaml")).datasources
    assert source.url == "http://prometheus:9090"
    assert source.isDefault


def test_the_datasource_knows_the_scrape_interval() -> None:
    (source,) = Datasources.model_validate(read("datasources/prometheus.yaml")).datasources
    prometheus = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    assert source.jsonData.timeInterval == prometheus["global"]["scrape_interval"]


def test_dashboards_are_read_from_where_compose_mounts_them() -> None:
    (provider,) = Providers.model_validate(read("dashboards/gprune.yaml")).providers
    compose = yaml.safe_load((ROOT / "deploy/compose/compose.yaml").read_text())
    assert f"../grafana/dashboards:{provider.options.path}:ro" in compose["services"]["grafana"]["volumes"]
