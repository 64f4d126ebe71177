"""Files for charts and operators of others: arguments that vLLM knows, and settings that are valid."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support.tools import ROOT, prune_settings, serve_arguments

VALUES = ROOT / "deploy" / "values"
MONITOR = "kserve-pod-monitor"
NAMES = sorted({file.stem for file in VALUES.iterdir()} - {MONITOR})
MODEL = "llava-hf/llava-v1.6-mistral-7b-hf"
COMMENT = " ".join(re.findall(r"^# *(.*)$", (VALUES / "production-stack.yaml").read_text(), re.MULTILINE))
"""The first lines of the values of production-stack, as one."""


def load(name: str) -> Any:
    return yaml.safe_load((VALUES / f"{name}.yaml").read_text())


def servers(name: str) -> Any:
    """What describes servers: production-stack has a router beside them."""
    document = load(name)
    return document.get("servingEngineSpec", document)


def environments(document: Any) -> Iterator[dict[str, str]]:
    """The environments of all containers in a document."""
    if isinstance(document, dict):
        if "env" in document:
            yield {variable["name"]: variable["value"] for variable in document["env"]}
        for value in document.values():
            yield from environments(value)
    elif isinstance(document, list):
        for value in document:
            yield from environments(value)


@pytest.mark.parametrize("name", NAMES)
def test_every_container_loads_the_plugin_with_valid_settings(name: str) -> None:
    found = list(environments(servers(name)))
    assert found
    for environment in found:
        assert environment["VLLM_PLUGINS"] == "gprune"
        prune_settings(environment)


def started_with(name: str) -> list[str]:
    """The arguments with which `vllm serve` is started in the end."""
    document = load(name)
    if name == "production-stack":
        return [MODEL, *document["servingEngineSpec"]["modelSpec"][0]["vllmConfig"]["extraArgs"]]
    if name == "llm-d-modelservice":
        return [MODEL, *document["decode"]["containers"][0]["args"]]
    if name == "kserve":
        return ["/mnt/models", *next(environments(document))["VLLM_ADDITIONAL_ARGS"].split()]
    (script,) = document["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["args"]
    return shlex.split(script.partition("vllm serve ")[2])


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_those_of_vllm(name: str) -> None:
    assert serve_arguments(started_with(name))


def test_pipeline_has_contiguous_positions_and_a_gpu_for_every_rank() -> None:
    arguments = serve_arguments(started_with("ray"))
    assert arguments.distributed_executor_backend == "ray"
    document = load("ray")["spec"]
    groups = [(1, document["headGroupSpec"]), *((group["replicas"], group) for group in document["workerGroupSpecs"])]
    gpus = 0
    for replicas, group in groups:
        (node,) = group["template"]["spec"]["containers"]
        assert node["resources"]["limits"]["nvidia.com/gpu"] == group["rayStartParams"]["num-gpus"]
        gpus += replicas * int(group["rayStartParams"]["num-gpus"])
        assert prune_settings(next(environments(node))).prune_positions == "contiguous"
    assert gpus == arguments.pipeline_parallel_size * arguments.tensor_parallel_size
    assert arguments.pipeline_parallel_size > 1


def test_ray_is_of_the_version_that_the_image_holds() -> None:
    (installed,) = re.findall(r"ray\[default\]==([\d.]+)", (ROOT / "Dockerfile").read_text())
    assert load("ray")["spec"]["rayVersion"] == installed


def found(document: Any, key: str) -> Iterator[Any]:
    """What a document says under a key, wherever it stands."""
    for name, value in document.items() if isinstance(document, dict) else enumerate(document):
        if name == key:
            yield value
        if isinstance(value, dict | list):
            yield from found(value, key)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "kserve"])  # its template has one
def test_containers_have_more_shared_memory_than_a_cluster_gives(name: str) -> None:
    document = servers(name)
    volumes = [volume for each in (*found(document, "volumes"), *found(document, "extraVolumes")) for volume in each]
    (shared, *_) = [volume for volume in volumes if volume["name"] == "shared-memory"]
    assert shared["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}
    mounts = [*found(document, "volumeMounts"), *found(document, "extraVolumeMounts")]
    assert mounts
    assert all({"name": "shared-memory", "mountPath": "/dev/shm"} in each for each in mounts)


def test_kserve_chooses_the_scheme_of_its_probe() -> None:
    (probe,) = found(load("kserve"), "startupProbe")
    assert set(probe) == {"periodSeconds", "failureThreshold"}


def test_pods_of_kserve_are_scraped_by_the_labels_that_it_gives_them() -> None:
    """Its controller names pods after the service, in the template the port has a number alone."""
    monitor = load(MONITOR)["spec"]
    name = load("kserve")["metadata"]["name"]
    assert monitor["selector"]["matchLabels"] == {
        "app.kubernetes.io/name": name,
        "kserve.io/component": "workload",
    }
    (endpoint,) = monitor["podMetricsEndpoints"]
    assert (endpoint["portNumber"], endpoint["path"], endpoint["scheme"]) == (8000, "/metrics", "http")
    assert "port" not in endpoint


@pytest.mark.parametrize("part", ["servingEngineSpec", "routerSpec"])
def test_pods_of_production_stack_are_restricted(part: str) -> None:
    """As the Pod Security Standard of that name asks, and with a root that is read only."""
    spec = load("production-stack")[part]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["containerSecurityContext"] == {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"name": "temporary", "mountPath": "/tmp"} in next(found(spec, "extraVolumeMounts"))


def test_production_stack_keeps_its_secrets_apart_from_those_of_the_kustomization() -> None:
    engine = load("production-stack")["servingEngineSpec"]
    secrets = set(found(engine, "secretName"))
    assert secrets == {"gprune-keys"}
    text = (VALUES / "production-stack.yaml").read_text()
    assert "create secret generic gprune-keys" in text
    assert "helm install gprune-stack " in text


def test_production_stack_reads_an_api_key_and_a_token_from_the_secret_of_its_first_lines() -> None:
    engine = load("production-stack")["servingEngineSpec"]
    (model,) = engine["modelSpec"]
    read = [engine["vllmApiKey"], model["hf_token"]]
    assert [each["secretKey"] for each in read] == ["VLLM_API_KEY", "HF_TOKEN"]
    for each in read:
        assert f"--from-literal={each['secretKey']}=" in COMMENT


def test_production_stack_says_that_its_chart_gives_a_rollout_less_time_than_a_start_may_take() -> None:
    """The chart has 1200 seconds and no value for them, so a start may be reported as failed that is not."""
    probe = load("production-stack")["servingEngineSpec"]["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] > 1200
    assert "rollout 20 minutes" in COMMENT


def test_production_stack_is_scraped_by_a_prometheus_that_takes_other_releases_monitors() -> None:
    assert load("production-stack")["servingEngineSpec"]["serviceMonitor"]["enabled"]
    assert "serviceMonitorSelectorNilUsesHelmValues of kube-prometheus-stack to false" in COMMENT


def test_production_stack_does_not_turn_prefix_caching_off() -> None:
    """Its chart does, where the values do not say otherwise."""
    (model,) = load("production-stack")["servingEngineSpec"]["modelSpec"]
    assert model["vllmConfig"]["enablePrefixCaching"] is True


def test_versions_of_the_image_are_the_projects() -> None:
    files = [*VALUES.iterdir(), *(ROOT / "deploy").glob("kubernetes/**/*.yaml"), ROOT / "deploy/compose/compose.yaml"]
    texts = "\n".join(file.read_text() for file in files)
    named = re.findall(r"gprune-vllm:(\d[\w.]*)", texts) + re.findall(r"newTag: (\S+)", texts)
    named += [load("production-stack")["servingEngineSpec"]["modelSpec"][0]["tag"]]
    version = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert set(named) == set(version)
    assert len(named) > 6
