"""Who reads which file under deploy/, and what they say of a key that they do not know."""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from gprune_vllm.settings import PruneSettings
from tests.support.tools import ROOT, helm, kustomize, promtool, require, run
from tests.unit.deploy import formats
from tests.unit.deploy.kinds import kubernetes_complaints
from tests.unit.deploy.schemas import Schema, complaints

COMPOSE_FILE = ROOT / "deploy/compose/compose.yaml"
ASSIGNMENT = re.compile(r"^#?(\w+)=(.*)$", re.MULTILINE)


def read(file: Path) -> Any:
    if file.name == ".env.example":
        return dict(ASSIGNMENT.findall(file.read_text()))
    return (json.loads if file.suffix == ".json" else yaml.safe_load)(file.read_text())


def write(file: Path, document: Any) -> None:
    if file.name == ".env.example":
        file.write_text("".join(f"#{name}={value}\n" for name, value in document.items()))
    else:
        file.write_text(json.dumps(document))


def by_schema(schema: Schema, file: Path) -> list[str]:
    return complaints(read(file), schema)


def by_schema_of_the_chart(file: Path) -> list[str]:
    return complaints(read(file), formats.VALUES[file.stem])


def by_compose(file: Path) -> list[str]:
    """What the specification, Grafana of its environment, and compose of services that are not there would say."""
    found = complaints(read(file), formats.COMPOSE)
    services = read(file).get("services", {})
    for service in services.values():
        if "environment" in service:
            found += complaints(service["environment"], formats.GRAFANA_ENVIRONMENT)
        found += sorted(service.get("depends_on", {}).keys() - services.keys())
    return found


def by_those_who_read_the_environment(file: Path) -> list[str]:
    """Variables that neither the compose file nor the server reads."""
    from vllm.envs import environment_variables

    used = re.findall(r"\$\{(\w+)", COMPOSE_FILE.read_text())
    settings = [f"GPRUNE_{name.upper()}" for name in PruneSettings.model_fields]
    return sorted(set(read(file)) - {*used, *settings, *environment_variables, "HF_TOKEN"})


def by_cluster(file: Path) -> list[str]:
    return kubernetes_complaints(read(file))


def by_kustomize(file: Path) -> list[str]:
    """What kustomize says of a kustomization, and a schema of the patches in it."""
    rendered = kustomize(file.parent)
    patches = [yaml.safe_load(each["patch"]) for each in read(file).get("patches", []) if "patch" in each]
    found = [complaint for patch in patches for complaint in complaints(patch, formats.PATCH)]
    return found + ([rendered.stdout] if rendered.returncode else [])


def by_helm(*command: str) -> Callable[[Path], list[str]]:
    """What helm says of a chart, or of values for it."""

    def found(file: Path) -> list[str]:
        chart = next(folder for folder in file.parents if (folder / "Chart.yaml").exists())
        values = ("--values", file) if file.name != "Chart.yaml" else ()
        said = helm(*command, chart, *values)
        return [said.stdout] if said.returncode else []

    return found


def by_promtool(*command: str) -> Callable[[Path], list[str]]:
    def found(file: Path) -> list[str]:
        checked = promtool(*command, file)
        return [checked.stdout] if checked.returncode else []

    return found


def by_amtool(file: Path) -> list[str]:
    checked = run(require("amtool"), "check-config", file)
    return [checked.stdout] if checked.returncode else []


def by_grafana(file: Path) -> list[str]:
    """Keys that are lost where Grafana's library reads a dashboard and writes it again; it leaves one part unread."""
    register_default_plugins()
    document = read(file)
    try:
        written = json.loads(json.dumps(Dashboard.from_json(document), cls=JSONEncoder))
    except KeyError as error:
        return [f"{error} is missing"]
    transformations = [each for panel in document.get("panels", []) for each in panel.get("transformations", [])]
    unread = [complaint for each in transformations for complaint in complaints(each, formats.TRANSFORMATION)]
    return unread + lost(document, written)


def lost(before: Any, after: Any) -> list[str]:
    """Keys that are in one document and not in another."""
    if isinstance(before, list) and isinstance(after, list):
        return [key for pair in zip(before, after, strict=False) for key in lost(*pair)]
    if isinstance(before, dict) and isinstance(after, dict):
        inside = [key for name in before.keys() & after.keys() for key in lost(before[name], after[name])]
        return inside + sorted(before.keys() - after.keys())
    return []


READERS: dict[str, Callable[[Path], list[str]]] = {
    "compose/compose.yaml": by_compose,
    "compose/.env.example": by_those_who_read_the_environment,
    "grafana/dashboards/*.json": by_grafana,
    "grafana/provisioning/dashboards/*.yaml": partial(by_schema, formats.GRAFANA_DASHBOARDS),
    "grafana/provisioning/datasources/*.yaml": partial(by_schema, formats.GRAFANA_DATASOURCES),
    "helm/*/Chart.yaml": by_helm("lint", "--strict"),
    "helm/*/values.schema.json": partial(by_schema, formats.JSON_SCHEMA),
    "helm/*/values.yaml": by_helm("template"),
    "helm/*/examples/*.yaml": by_helm("template"),
    "kubernetes/base/kustomization.yaml": by_kustomize,
    "kubernetes/overlays/*/kustomization.yaml": by_kustomize,
    "kubernetes/base/*.yaml": by_cluster,
    "kubernetes/overlays/*/*.yaml": by_cluster,
    "prometheus/alertmanager.yml": by_amtool,
    "prometheus/prometheus.yml": by_promtool("check", "config"),
    "prometheus/rules/*.yml": by_promtool("check", "rules"),
    "prometheus/tests/*.yml": by_promtool("test", "rules"),
    "values/*.yaml": by_schema_of_the_chart,
}
