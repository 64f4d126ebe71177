"""The Helm chart renders what the kustomizations render, and refuses values that it does not know."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.tools import ROOT, helm, render
from tests.unit.deploy.kinds import kubernetes_complaints

CHART = ROOT / "deploy" / "helm" / "gprune-vllm"
OVERLAYS = ROOT / "deploy" / "kubernetes" / "overlays"
EXAMPLES = sorted(file.stem for file in (CHART / "examples").iterdir())
# Labels of a chart that a kustomization does not need, where its namespace holds one Deployment.
OF_A_CHART = {"app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "helm.sh/chart"}


def template(*arguments: str | Path, release: str = "gprune") -> list[dict[str, Any]]:
    """The objects of a release."""
    rendered = helm("template", release, CHART, "--namespace", "gprune", *arguments)
    assert rendered.returncode == 0, rendered.stdout
    return [document for document in yaml.safe_load_all(rendered.stdout) if document]


def comparable(document: Any) -> Any:
    """A document without what tells one road to a cluster from the other."""
    if isinstance(document, dict):
        return {key: comparable(value) for key, value in document.items() if key not in {*OF_A_CHART, "annotations"}}
    if isinstance(document, list):
        return [comparable(value) for value in document]
    # kustomize appends a hash to the name, and the chart puts one into an annotation.
    return re.sub(r"^(gprune-settings)-\w{10}$", r"\1", document) if isinstance(document, str) else document


def by_kind(documents: list[dict[str, Any]]) -> dict[str, Any]:
    return {document["kind"]: comparable(document) for document in documents}


def test_there_is_an_example_for_each_overlay() -> None:
    assert sorted(folder.name for folder in OVERLAYS.iterdir()) == EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES)
def test_chart_renders_what_the_overlay_renders(example: str) -> None:
    charted = by_kind(template("--values", CHART / "examples" / f"{example}.yaml"))
    kustomized = by_kind(render(OVERLAYS / example))
    del kustomized["Namespace"]  # Helm has --create-namespace
    assert charted == kustomized


@pytest.mark.parametrize("example", EXAMPLES)
def test_objects_have_no_key_that_their_kind_does_not_know(example: str) -> None:
    for document in template("--values", CHART / "examples" / f"{example}.yaml"):
        assert kubernetes_complaints({**document, "metadata": comparable(document["metadata"])}) == []


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("modle=other/model", "additional properties 'modle' not allowed"),
        ("image.digset=sha256:0", "additional properties 'digset' not allowed"),
        ("image.digest=latest", "does not match pattern"),
        ("tensorParallelSize=0", "minimum: got 0, want 1"),
        ("settings.GPRUNE_DEFAULT_PRUNE_RATIO=0", "got number, want string"),
        ("mirror=hub.example.com", "does not match pattern"),
        ("ingress.enabled=true", "'/ingress/host'"),
        ("gateway.enabled=true,gateway.host=a.example.com", "'/gateway/className'"),
    ],
)
def test_wrong_values_are_refused_by_name(value: str, complaint: str) -> None:
    refused = helm("template", CHART, "--set", value)
    assert refused.returncode != 0
    assert complaint in refused.stdout


def test_releases_in_one_namespace_have_names_and_pods_of_their_own() -> None:
    one, other = template(), template(release="other")
    assert not {each["metadata"]["name"] for each in one} & {each["metadata"]["name"] for each in other}
    selectors = [each["spec"]["selector"] for release in (one, other) for each in release if each["kind"] == "Service"]
    assert selectors[0] != selectors[1]


def deployment(*arguments: str) -> dict[str, Any]:
    (found,) = (each for each in template(*arguments) if each["kind"] == "Deployment")
    return found


def test_a_change_of_settings_restarts_the_servers() -> None:
    annotations = [
        deployment(*arguments)["spec"]["template"]["metadata"]["annotations"]
        for arguments in ((), ("--set-string", "settings.GPRUNE_DEFAULT_PRUNE_RATIO=0.5"))
    ]
    assert annotations[0] != annotations[1]


def test_more_than_one_server_share_a_volume() -> None:
    documents = template("--set", "replicas=2")
    (claim,) = (each for each in documents if each["kind"] == "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert deployment("--set", "replicas=2")["spec"]["replicas"] == 2


def test_a_claim_of_ones_own_takes_the_place_of_the_charts() -> None:
    documents = template("--set", "modelCache.existingClaim=models")
    assert "PersistentVolumeClaim" not in {each["kind"] for each in documents}
    cache, *_ = deployment("--set", "modelCache.existingClaim=models")["spec"]["template"]["spec"]["volumes"]
    assert cache["persistentVolumeClaim"] == {"claimName": "models"}


def test_an_image_is_named_by_its_digest_where_there_is_one() -> None:
    digest = f"sha256:{'0' * 64}"
    (server,) = deployment("--set", f"image.digest={digest}")["spec"]["template"]["spec"]["containers"]
    assert server["image"] == f"gprune-vllm@{digest}"


def test_versions_are_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == project["version"]


def test_every_value_is_in_the_schema_and_in_the_defaults() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(schema["properties"]) == {*defaults, "global"}
