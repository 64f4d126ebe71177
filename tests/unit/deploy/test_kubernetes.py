"""The kustomizations: valid to the last key, hardened, and consistent in themselves."""

import copy
import ipaddress
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.tools import BIN, ROOT, checkov, prune_settings, render, run, serve_arguments
from tests.unit.deploy.kinds import kubernetes_complaints

KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = sorted(folder.name for folder in (KUBERNETES / "overlays").iterdir())
# What checkov would have otherwise, and why it is as it is.
EXCEPTIONS = {
    "CKV_K8S_15": "a version's image does not change, and nodes keep it: it need not be pulled at every start",
    "CKV_K8S_35": "vLLM takes its API key from an environment variable",
    "CKV_K8S_43": "an image's digest is known when it has been pushed: docs/operations.md pins it then",
}


@cache
def objects(overlay: str) -> dict[str, dict[str, Any]]:
    """The objects of an overlay, by kind: each is there once."""
    rendered = render(KUBERNETES / "overlays" / overlay)
    assert len({each["kind"] for each in rendered}) == len(rendered)
    return {each["kind"]: each for each in rendered}


def pod(overlay: str) -> dict[str, Any]:
    return objects(overlay)["Deployment"]["spec"]["template"]["spec"]


def container(overlay: str) -> dict[str, Any]:
    (only,) = pod(overlay)["containers"]
    return only


def gaps_explained(overlay: str) -> set[str]:
    """OpenShift chooses the user, whose number checkov then misses."""
    return {*EXCEPTIONS, "CKV_K8S_40"} if overlay == "openshift" else {*EXCEPTIONS}


def test_overlays_are_those_of_the_documentation() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    assert all(f"deploy/kubernetes/overlays/{overlay}" in text for overlay in OVERLAYS)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_objects_have_no_key_that_their_kind_does_not_know(overlay: str) -> None:
    found = {kind: kubernetes_complaints(each) for kind, each in objects(overlay).items()}
    assert not any(found.values()), found


@pytest.fixture(scope="module")
def gaps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The checks of checkov that each overlay fails, and one that lacks something: starting checkov takes seconds."""
    folder = tmp_path_factory.mktemp("rendered")
    lacking = copy.deepcopy(objects("one-gpu"))
    del lacking["Deployment"]["spec"]["template"]["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
    found: dict[str, set[str]] = {}
    for name, kinds in {**{overlay: objects(overlay) for overlay in OVERLAYS}, "lacking": lacking}.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(kinds.values()))
        found[name] = set()
    checked = json.loads(checkov("--framework", "kubernetes", "--output", "json", "--directory", folder))
    for failed in checked["results"]["failed_checks"]:
        found[Path(failed["file_path"]).stem].add(failed["check_id"])
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_hardening_has_no_gap_but_those_explained(gaps: dict[str, set[str]], overlay: str) -> None:
    assert gaps[overlay] == gaps_explained(overlay)


def test_hardening_check_sees_a_gap(gaps: dict[str, set[str]]) -> None:
    assert gaps["lacking"] == {*EXCEPTIONS, "CKV_K8S_22"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_arguments_are_those_of_vllm(overlay: str) -> None:
    arguments = serve_arguments(container(overlay)["args"])
    assert int(container(overlay)["resources"]["limits"]["nvidia.com/gpu"]) == arguments.tensor_parallel_size


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_are_settings(overlay: str) -> None:
    configuration = objects(overlay)["ConfigMap"]
    prune_settings(configuration["data"])
    assert {"configMapRef": {"name": configuration["metadata"]["name"]}} in container(overlay)["envFrom"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_requests_under_way_are_finished_before_the_pod_is_killed(overlay: str) -> None:
    *_, pause = container(overlay)["lifecycle"]["preStop"]["exec"]["command"]
    drained = int(pause) + serve_arguments(container(overlay)["args"]).shutdown_timeout
    assert drained + 30 <= pod(overlay)["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_first_start_may_take_long(overlay: str) -> None:
    probe = container(overlay)["startupProbe"]
    allowed = probe["periodSeconds"] * probe["failureThreshold"]
    assert 1800 <= allowed < objects(overlay)["Deployment"]["spec"]["progressDeadlineSeconds"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_find_the_pods(overlay: str) -> None:
    labels = objects(overlay)["Deployment"]["spec"]["template"]["metadata"]["labels"]
    kinds = objects(overlay)
    (spread,) = pod(overlay)["topologySpreadConstraints"]
    assert kinds["Service"]["spec"]["selector"] == labels
    for selector in (
        kinds["Deployment"]["spec"]["selector"],
        kinds["PodDisruptionBudget"]["spec"]["selector"],
        kinds["PodMonitor"]["spec"]["selector"],
        kinds["NetworkPolicy"]["spec"]["podSelector"],
        spread["labelSelector"],
    ):
        assert selector == {"matchLabels": labels}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_ports_are_the_containers(overlay: str) -> None:
    (port,) = container(overlay)["ports"]
    (service,) = objects(overlay)["Service"]["spec"]["ports"]
    (endpoint,) = objects(overlay)["PodMonitor"]["spec"]["podMetricsEndpoints"]
    (rule,) = objects(overlay)["NetworkPolicy"]["spec"]["ingress"]
    probes = [container(overlay)[f"{name}Probe"]["httpGet"]["port"] for name in ("startup", "readiness", "liveness")]
    named = [service["targetPort"], endpoint["port"], *(each["port"] for each in rule["ports"]), *probes]
    assert named == [port["name"]] * 6


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_caches_and_temporary_files_are_all_that_can_be_written(overlay: str) -> None:
    assert container(overlay)["securityContext"]["readOnlyRootFilesystem"] is True
    places = {mount["name"]: mount["mountPath"] for mount in container(overlay)["volumeMounts"]}
    assert places == {"model-cache": "/cache", "temporary": "/tmp", "shared-memory": "/dev/shm"}
    assert {volume["name"] for volume in pod(overlay)["volumes"]} == set(places)


# An address that hypothesis takes from the special ranges of IANA's registries as often as from anywhere else.
@settings(deadline=None)
@given(st.ip_addresses())
def test_images_are_fetched_from_public_addresses_alone(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if admitted(address, 443):
        assert address.is_global
        assert not address.is_multicast
        assert not getattr(address, "sixtofour", None)
        assert not getattr(address, "teredo", None)


@pytest.mark.parametrize("address", ["1.1.1.1", "140.82.121.4", "192.167.255.255", "2606:4700::1111"])
def test_public_addresses_are_reached_by_http_alone(address: str) -> None:
    public = ipaddress.ip_address(address)
    assert [port for port in (22, 53, 80, 443, 5432, 6379) if admitted(public, port)] == [80, 443]


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fd00:ec2::254", "10.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1"]
)
def test_private_addresses_and_metadata_services_are_out_of_reach(address: str) -> None:
    assert not any(admitted(ipaddress.ip_address(address), port) for port in (53, 80, 443))


def test_dns_is_asked_of_the_cluster() -> None:
    names, _ = objects("one-gpu")["NetworkPolicy"]["spec"]["egress"]
    assert {(port["port"], port["protocol"]) for port in names["ports"]} == {(53, "UDP"), (53, "TCP")}
    assert names["to"][0] == {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    assert admitted(ipaddress.ip_address("169.254.20.10"), 53)


def admitted(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, overlay: str = "one-gpu") -> bool:
    """Whether the NetworkPolicy lets a server connect to an address outside of the cluster."""
    for rule in objects(overlay)["NetworkPolicy"]["spec"]["egress"]:
        if port in [allowed["port"] for allowed in rule["ports"]]:
            for block in (peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer):
                inside = address in ipaddress.ip_network(block["cidr"])
                if inside and not any(address in ipaddress.ip_network(cidr) for cidr in block.get("except", [])):
                    return True
    return False


def test_autoscaler_scales_the_deployment() -> None:
    spec = objects("autoscaled")["ScaledObject"]["spec"]
    assert spec["scaleTargetRef"]["name"] == objects("autoscaled")["Deployment"]["metadata"]["name"]
    assert "replicas" not in objects("autoscaled")["Deployment"]["spec"]


def test_many_servers_share_a_cache_that_many_nodes_can_mount() -> None:
    assert objects("autoscaled")["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]


def test_openshift_chooses_the_user_and_answers_names_on_its_own_port() -> None:
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & pod("openshift")["securityContext"].keys()
    assert pod("openshift")["securityContext"]["runAsNonRoot"] is True
    names, _ = objects("openshift")["NetworkPolicy"]["spec"]["egress"]
    assert {port["port"] for port in names["ports"]} == {5353}


def test_air_gapped_servers_reach_the_mirror_and_nothing_else_outside() -> None:
    mirror = ipaddress.ip_address("10.0.0.10")
    assert [port for port in (22, 80, 443) if admitted(mirror, port, "air-gapped")] == [443]
    assert not any(
        admitted(ipaddress.ip_address(address), port, "air-gapped")
        for address in ("1.1.1.1", "10.0.0.11", "2606:4700::1111")
        for port in (80, 443)
    )
    *_, collector = objects("air-gapped")["NetworkPolicy"]["spec"]["egress"]
    assert collector["ports"] == [{"port": 4317}, {"port": 4318}]


def test_air_gapped_servers_serve_what_their_init_container_fetched() -> None:
    (fetching,) = pod("air-gapped")["initContainers"]
    arguments = serve_arguments(container("air-gapped")["args"])
    assert fetching["command"] == ["hf", "download", arguments.model_tag]
    assert arguments.served_model_name == [arguments.model_tag]
    assert fetching["image"] == container("air-gapped")["image"]
    assert fetching["volumeMounts"] == container("air-gapped")["volumeMounts"]
    assert objects("air-gapped")["ConfigMap"]["data"]["HF_HUB_OFFLINE"] == "1"


def test_command_of_the_init_container_is_one_that_the_image_has() -> None:
    said = run(BIN / "hf", "download", "--help")
    assert said.returncode == 0, said.stdout


def test_clients_outside_reach_the_api_by_tls_and_no_metrics() -> None:
    (rule,) = objects("ingress")["Ingress"]["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    (tls,) = objects("ingress")["Ingress"]["spec"]["tls"]
    assert (path["path"], path["pathType"], tls["hosts"]) == ("/v1", "Prefix", [rule["host"]])

    (listener,) = objects("gateway")["Gateway"]["spec"]["listeners"]
    route = objects("gateway")["HTTPRoute"]["spec"]
    (match,) = route["rules"][0]["matches"]
    assert (match["path"]["type"], match["path"]["value"]) == ("PathPrefix", "/v1")
    assert listener["protocol"] == "HTTPS"
    assert route["hostnames"] == [listener["hostname"]]


@pytest.mark.parametrize(("overlay", "namespace"), [("ingress", "traefik"), ("gateway", "envoy-gateway-system")])
def test_what_passes_clients_on_may_connect(overlay: str, namespace: str) -> None:
    (rule,) = objects(overlay)["NetworkPolicy"]["spec"]["ingress"]
    peers = [peer["namespaceSelector"]["matchLabels"] for peer in rule["from"] if "namespaceSelector" in peer]
    assert {"kubernetes.io/metadata.name": namespace} in peers
