"""The lock files: whole, in step with pyproject.toml, and what this suite runs on. `make lock` renews them."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from vllm.platforms import current_platform

from tests.support.tools import ROOT

LOCKS = sorted((ROOT / "scripts" / "locks").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BACKEND = "cpu" if current_platform.is_cpu() else "cuda"


def locked(name: str) -> dict[str, str]:
    """Versions by package, of those that a lock has for this machine and interpreter."""
    text = (ROOT / "scripts" / "locks" / f"{name}.txt").read_text()
    found = map(Requirement, re.findall(r"^(\S+==[^\\\n]+?) \\$", text, re.MULTILINE))
    here = [each for each in found if each.marker is None or each.marker.evaluate()]
    return {canonicalize_name(each.name): str(each.specifier).removeprefix("==") for each in here}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_locks_name_versions_and_hashes_and_no_place(lock: Path) -> None:
    text = lock.read_text()
    # A backslash at the end of a line, and the lines it joins, are one requirement.
    entries = [line for line in text.replace("\\\n", " ").splitlines() if not line.startswith("#")]
    assert entries
    assert all(re.fullmatch(r"\S+==\S+ .*?(\s+--hash=sha256:[0-9a-f]{64})+", entry) for entry in entries)
    assert "://" not in text


def asked(lock: str) -> list[str]:
    """Requirements that a lock was made from: of an extra, or of the files of the tools' environments."""
    if lock in PROJECT["optional-dependencies"]:
        own = PROJECT["dependencies"] if lock in ("cpu", "cuda") else []
        return [*own, *PROJECT["optional-dependencies"][lock]]
    files = (ROOT / "scripts" / "locks").glob(f"{lock}*.in")
    return [line for file in files for line in file.read_text().splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("lock", ["cpu", "cuda", "test", "lmms", "checkov", "cluster"])
def test_locks_hold_what_the_project_asks_for(lock: str) -> None:
    pinned = locked(lock)
    assert asked(lock)
    for requirement in map(Requirement, asked(lock)):
        if (lock, requirement.name) == ("cpu", "torch"):  # its CPU build, which scripts/setup.sh installs
            assert (
                f"torch{requirement.specifier}+cpu".replace("==", "=")
                in (ROOT / "scripts" / "dependencies.sh").read_text()
            )
            continue
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def test_a_cpu_is_served_without_triton_and_tested_with_it() -> None:
    assert "triton" not in locked("cpu")
    assert "triton" in locked("test")


@pytest.mark.parametrize("backend", ["cpu", "cuda"])
def test_locks_that_are_installed_together_agree(backend: str) -> None:
    served, tested = locked(backend), locked("test")
    shared = served.keys() & tested.keys()
    assert shared
    assert {name: served[name] for name in shared} == {name: tested[name] for name in shared}


def test_the_suite_runs_on_the_locks() -> None:
    pinned = locked(BACKEND) | locked("test")
    assert {name: version(name).partition("+")[0] for name in pinned} == pinned
