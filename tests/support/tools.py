"""The validators of deployment files, as functions."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

from gprune_vllm.settings import PruneSettings

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
TOOLS = ROOT / ".cache" / "tools"  # where scripts/tools.sh puts what is not on PATH


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command; its output, errors among it, is in `stdout`."""
    options = {"timeout": 300, "check": False, "text": True, "stdout": subprocess.PIPE, **options}
    return subprocess.run([str(part) for part in command], stderr=subprocess.STDOUT, **options)


def missing(reason: str, environment: Mapping[str, str] = os.environ) -> NoReturn:
    """Skip a test for want of a tool, and in CI fail it."""
    if environment.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def find(name: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """The path of a program, from PATH or the set-up."""
    return shutil.which(name, path=f"{environment.get('PATH', '')}{os.pathsep}{TOOLS}")


def require(name: str, environment: Mapping[str, str] = os.environ) -> str:
    """The path of a program. Without it the test is skipped, and in CI it fails."""
    path = find(name, environment)
    if path is None:
        missing(f"{name} is neither on PATH nor in .cache/tools, where scripts/tools.sh puts it", environment)
    return path


def kubectl() -> str:
    """The path of kubectl: the one of the set-up, since each version renders something else."""
    return require(f"{TOOLS}/kubectl")


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the helm of the set-up."""
    return run(require(f"{TOOLS}/helm"), *arguments)


def kustomize(folder: Path) -> subprocess.CompletedProcess[str]:
    """What `kubectl apply --kustomize` would apply."""
    return run(kubectl(), "kustomize", folder)


def render(folder: Path) -> list[dict[str, Any]]:
    """The objects of a kustomization."""
    rendered = kustomize(folder)
    assert rendered.returncode == 0, rendered.stdout
    return list(yaml.safe_load_all(rendered.stdout))


def checkov(*arguments: str | Path) -> str:
    """What checkov has to say: the one of the set-up, since each version checks something else."""
    return run(require(f"{TOOLS}/checkov"), "--quiet", "--compact", "--skip-download", *arguments).stdout


def promtool(*arguments: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run promtool."""
    return run(require("promtool"), *arguments, input=text)


def serve_arguments(arguments: Sequence[str]) -> Any:
    """Arguments of `vllm serve` as vLLM's own parser reads them.

    Raises:
        SystemExit: one is not an argument of vLLM.
    """
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    from gprune_server.compatibility import make_arg_parser

    return make_arg_parser(FlexibleArgumentParser()).parse_args(list(arguments))


def prune_settings(environment: Mapping[str, str]) -> PruneSettings:
    """The settings in an environment.

    Raises:
        ValueError: one is not a setting, or not a valid one.
    """
    given = {name: value for name, value in environment.items() if name.startswith("GPRUNE_")}
    return PruneSettings.load(**{name.removeprefix("GPRUNE_").lower(): value for name, value in given.items()})
