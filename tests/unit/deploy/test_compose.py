"""The compose file, read by a real parser: what it starts, with which rights, and that its parts find each other."""

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.tools import BIN, ROOT, prune_settings, require, run, serve_arguments

FOLDER = ROOT / "deploy" / "compose"
FILE = FOLDER / "compose.yaml"
EXAMPLE = (FOLDER / ".env.example").read_text()
PROFILES = {
    "gpu": {"server", "dcgm-exporter", "prometheus", "alertmanager", "grafana"},
    "cpu": {"server-cpu", "prometheus", "alertmanager", "grafana"},
}


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a `podman` that only knows its version: that is all podman-compose asks of it to read a file."""
    program = tmp_path_factory.mktemp("podman") / "podman"
    program.write_text("#!/bin/sh\necho podman version 5.0.0\n")
    program.chmod(0o755)
    return program.parent


@cache
def services(podman: Path, profile: str, **environment: str) -> dict[str, Any]:
    """The services of a profile as podman-compose reads them, variables filled in."""
    variables = {"PATH": f"{podman}{os.pathsep}{os.environ['PATH']}", **environment}
    options = ["--env-file", os.devnull, "--profile", profile]  # not the reader's own .env
    read = run(BIN / "podman-compose", "--file", FILE, *options, "config", env=variables)
    assert read.returncode == 0, read.stdout
    found = yaml.safe_load(read.stdout)["services"]
    return {name: service for name, service in found.items() if profile in service["profiles"]}


@cache
def document() -> dict[str, Any]:
    """The file, with anchors and merges resolved and variables as they stand."""
    return yaml.safe_load(FILE.read_text())


@pytest.mark.parametrize("profile", PROFILES)
def test_profile_starts_its_services(podman: Path, profile: str) -> None:
    assert set(services(podman, profile)) == PROFILES[profile]


@pytest.mark.parametrize(("profile", "name"), [("gpu", "server"), ("cpu", "server-cpu")])
def test_server_is_started_with_arguments_that_vllm_knows(podman: Path, profile: str, name: str) -> None:
    server = services(podman, profile)[name]
    arguments = serve_arguments(server["command"])
    assert arguments.shutdown_timeout < int(server["stop_grace_period"].removesuffix("s"))


def test_prometheus_is_started_with_flags_that_it_knows() -> None:
    known = run(require("prometheus"), "--help").stdout
    flags = [argument.partition("=")[0] for argument in document()["services"]["prometheus"]["command"]]
    assert [flag for flag in flags if f"{flag}=" not in known] == []


def test_variables_reach_the_command(podman: Path) -> None:
    server = services(podman, "gpu", MODEL="other/model", SERVE_ARGUMENTS="--tensor-parallel-size=2")["server"]
    arguments = serve_arguments(server["command"])
    assert (arguments.model_tag, arguments.tensor_parallel_size) == ("other/model", 2)


def test_every_variable_is_in_the_example_with_its_default() -> None:
    used = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", FILE.read_text()))
    assert used == {name: default for name, default in example() if not name.startswith(("GPRUNE_", "VLLM_", "HF_"))}


def example() -> list[tuple[str, str]]:
    return re.findall(r"^#(\w+)=(.*)$", EXAMPLE, re.MULTILINE)


def test_settings_of_the_example_are_settings() -> None:
    prune_settings(dict(example()))


@pytest.mark.parametrize("name", document()["services"])
def test_containers_have_no_more_rights_than_they_need(name: str) -> None:
    service = document()["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("cap_add", []) == (["SYS_ADMIN"] if name == "dcgm-exporter" else [])
    assert "privileged" not in service


@pytest.mark.parametrize("name", document()["services"])
def test_logs_and_memory_of_containers_are_limited(name: str) -> None:
    service = document()["services"][name]
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["mem_limit"]


@pytest.mark.parametrize(("profile", "name"), [("gpu", "server"), ("cpu", "server-cpu")])
def test_images_say_what_they_were_built_from(podman: Path, profile: str, name: str) -> None:
    build = services(podman, profile, REVISION="abc")[name]["build"]
    assert build["args"] == ["REVISION=abc"]
    assert "ARG REVISION=" in (ROOT / "Dockerfile").read_text()


def test_alertmanager_is_started_with_flags_that_it_knows() -> None:
    known = run(require("prometheus-alertmanager"), "--help").stdout
    flags = [argument.partition("=")[0] for argument in document()["services"]["alertmanager"]["command"]]
    assert [flag for flag in flags if f"{flag}=" not in known] == []


@pytest.mark.parametrize("name", ["server", "server-cpu"])
def test_caches_and_temporary_files_are_all_that_a_server_can_write(name: str) -> None:
    service = document()["services"][name]
    assert service["volumes"] == ["model-cache:/cache"]
    assert service["tmpfs"] == ["/tmp:exec,mode=1777"]


@pytest.mark.parametrize("name", document()["services"])
def test_images_are_pinned_to_a_version(name: str) -> None:
    assert re.search(r":v?\d+\.\d+\.\d+", document()["services"][name]["image"])


def test_nothing_but_what_is_asked_for_listens_to_the_network(podman: Path) -> None:
    ports = [
        port
        for profile in PROFILES
        for service in services(podman, profile).values()
        for port in service.get("ports", [])
    ]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    (opened,) = services(podman, "gpu", SERVER_ADDRESS="0.0.0.0")["server"]["ports"]
    assert opened == "0.0.0.0:8000:8000"


def mounts(name: str) -> dict[str, Path]:
    """What a service mounts from the repository, by its place in the container."""
    volumes = [volume.split(":") for volume in document()["services"][name]["volumes"]]
    return {target: (FOLDER / source).resolve() for source, target, *_ in volumes if source.startswith(".")}


def test_mounted_files_exist() -> None:
    found = [source for name in ("prometheus", "alertmanager", "grafana") for source in mounts(name).values()]
    assert len(found) == 5
    assert all(source.exists() for source in found)


def test_prometheus_scrapes_services_at_their_names() -> None:
    configuration = yaml.safe_load(mounts("prometheus")["/etc/prometheus/prometheus.yml"].read_text())
    targets = {
        target
        for job in (*configuration["scrape_configs"], *configuration["alerting"]["alertmanagers"])
        for each in job.get("static_configs", [])
        for target in each["targets"]
    }
    assert targets == {"server:8000", "alertmanager:9093"}
    found = [each for job in configuration["scrape_configs"] for each in job.get("dns_sd_configs", [])]
    assert [(each["names"], each["port"]) for each in found] == [(["dcgm-exporter"], 9400)]
    assert document()["services"]["server-cpu"]["networks"]["default"]["aliases"] == ["server"]
    rules = mounts("prometheus")["/etc/prometheus/rules"]
    assert all(list(rules.parent.glob(pattern)) for pattern in configuration["rule_files"])


def test_grafana_keeps_the_data_source_that_its_image_brings() -> None:
    grafana = document()["services"]["grafana"]
    assert grafana["read_only"] is True
    assert grafana["environment"]["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"


def test_grafana_finds_its_dashboards_and_prometheus() -> None:
    provisioning = mounts("grafana")["/etc/grafana/provisioning"]
    (providers,) = (yaml.safe_load(file.read_text()) for file in provisioning.glob("dashboards/*.yaml"))
    folders = [mounts("grafana")[provider["options"]["path"]] for provider in providers["providers"]]
    assert all(list(folder.glob("*.json")) for folder in folders)
    (sources,) = (yaml.safe_load(file.read_text()) for file in provisioning.glob("datasources/*.yaml"))
    assert [source["url"] for source in sources["datasources"]] == ["http://prometheus:9090"]
