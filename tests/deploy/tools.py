"""The validators of deployment files, as functions."""

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from gprune_vllm.settings import PruneSettings

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
CHECKOV = "checkov==3.3.30"


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command; its output, errors among it, is in `stdout`."""
    options = {"timeout": 300, "check": False, "text": True, "stdout": subprocess.PIPE, **options}
    return subprocess.run([str(part) for part in command], stderr=subprocess.STDOUT, **options)


def missing(reason: str, environment: Mapping[str, str] = os.environ) -> None:
    """Skip a test for want of a tool, and in CI fail it."""
    if environment.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def kustomize(folder: Path) -> subprocess.CompletedProcess[str]:
    """What `kubectl apply --kustomize` would apply."""
    for command in (["kubectl", "kustomize"], ["kustomize", "build"]):
        if shutil.which(command[0]):
            return run(*command, folder)
    missing("neither kubectl nor kustomize is installed")
    raise AssertionError


def render(folder: Path) -> list[dict[str, Any]]:
    """The objects of a kustomization."""
    rendered = kustomize(folder)
    assert rendered.returncode == 0, rendered.stdout
    return list(yaml.safe_load_all(rendered.stdout))


def checkov(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run checkov. It has an environment of its own: what it pins would replace vLLM's packages."""
    folder = ROOT / ".cache" / "tools" / CHECKOV
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        installed = run(folder / "bin" / "pip", "install", "--quiet", CHECKOV, timeout=600)
        if installed.returncode:
            missing(f"{CHECKOV} cannot be installed: {installed.stdout}")
        (folder / "ready").touch()
    return run(folder / "bin" / "checkov", "--quiet", "--compact", "--skip-download", *arguments)


def serve_arguments(arguments: Sequence[str]) -> Any:
    """Arguments of `vllm serve` as vLLM's own parser reads them.

    Raises:
        SystemExit: one is not an argument of vLLM.
    """
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    return make_arg_parser(FlexibleArgumentParser()).parse_args(list(arguments))


def prune_settings(environment: Mapping[str, str]) -> PruneSettings:
    """The settings in an environment.

    Raises:
        ValueError: one is not a setting, or not a valid one.
    """
    given = {name: value for name, value in environment.items() if name.startswith("GPRUNE_")}
    return PruneSettings.load(**{name.removeprefix("GPRUNE_").lower(): value for name, value in given.items()})


def without(document: Any, path: Sequence[str | int]) -> Any:
    """Remove the value at a path from a document, and return it."""
    for key in path[:-1]:
        document = document[key]
    return document.pop(path[-1])


def misspell(document: Any, path: Sequence[str | int]) -> None:
    """Misspell the last key of a path into a document."""
    value = without(document, path)
    for key in path[:-1]:
        document = document[key]
    document[f"{path[-1]}s"] = value
