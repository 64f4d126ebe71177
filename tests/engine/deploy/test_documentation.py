"""A running server logs and exposes what docs/operations.md, docs/scaling.md and the autoscaler count on."""

import re

import pytest
import yaml

from tests.support.servers import Server
from tests.support.tools import ROOT

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
SCALING = (ROOT / "docs" / "scaling.md").read_text()
AUTOSCALER = ROOT / "deploy/kubernetes/overlays/autoscaled/scaled-object.yaml"
LOGGED = re.findall(r"```text\n(.*?)```", OPERATIONS, re.DOTALL)
NAMES = {
    "vllm:num_requests_waiting": True,
    "vllm:kv_cache_usage_perc": True,
    "vllm:prefix_cache_hits_total": True,
    "vllm:gpu_cache_usage_perc": False,
    "vllm:gpu_prefix_cache_hits_total": False,
}


@pytest.fixture
def exposed(server: Server) -> set[str]:
    """The samples of `/metrics`, with their labels."""
    return set(server.metrics())


def names(samples: set[str]) -> set[str]:
    return {sample.partition("{")[0] for sample in samples}


def test_log_lines_are_written(server: Server) -> None:
    (lines,) = [block for block in LOGGED if "Loaded endpoint plugin" in block]
    log = server.log.read_text()
    assert [line for line in lines.splitlines() if line not in log] == []


def test_size_of_the_cache_is_logged(server: Server) -> None:
    (pattern,) = [block.strip() for block in LOGGED if "KV cache size" in block]
    pattern = re.escape(pattern).replace("…", r"[\d.,]+").replace("8,192", r"[\d,]+")
    assert re.search(pattern, server.log.read_text())


@pytest.mark.parametrize("name", NAMES)
def test_metrics_have_the_names_that_the_traps_tell(exposed: set[str], name: str) -> None:
    assert f"`{name}`" in SCALING
    assert (name in names(exposed)) == NAMES[name]


def test_metrics_have_the_labels_that_the_traps_tell(exposed: set[str]) -> None:
    (labels,) = [sample for sample in exposed if sample.startswith("vllm:num_requests_waiting{")]
    assert re.search(r"\bmodel_name=", labels)
    assert not re.search(r"\bmodel=", labels)


def test_autoscaler_scales_by_metrics_that_vllm_has(exposed: set[str]) -> None:
    triggers = yaml.safe_load(AUTOSCALER.read_text())["spec"]["triggers"]
    named = [re.findall(r"vllm:\w+", trigger["metadata"]["query"]) for trigger in triggers]
    assert named == [["vllm:num_requests_waiting"], ["vllm:num_requests_running"]]
    assert {name for each in named for name in each} <= names(exposed)
