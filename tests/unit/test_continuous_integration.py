"""What checks a change: the workflow and the pre-commit hooks."""

import re
import shlex
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml

from tests.support.tools import BIN, ROOT, run

WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]


def check(workflow: Path) -> CompletedProcess[str]:
    """Validate a workflow by the schema that check-jsonschema ships with."""
    return run(BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", workflow)


def test_workflow_is_valid() -> None:
    checked = check(WORKFLOW)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("runs-on:", "run-on:"), ("timeout-minutes: 90", "timeout-minutes: long"), ("[push", "[pushed")],
)
def test_mistakes_in_the_workflow_are_found(right: str, wrong: str, tmp_path: Path) -> None:
    text = WORKFLOW.read_text()
    assert right in text
    (tmp_path / "ci.yml").write_text(text.replace(right, wrong))
    assert "Schema validation errors" in check(tmp_path / "ci.yml").stdout


def test_workflow_runs_what_a_change_must_pass() -> None:
    (job,) = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
    assert job["steps"][-1] == {"run": ".ci/run"}
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100


def test_hooks_run_the_linters_of_make_lint_in_the_repositorys_environment() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (code,) = re.findall(r"^CODE := \$\(wildcard (.+)\)$", makefile, re.MULTILINE)
    linted = re.findall(r"^\t\$\(BIN\)/((?:ruff|mypy) .+)$", makefile, re.MULTILINE)
    commands = {tuple(shlex.split(line.replace("$(CODE)", code))[:2]) for line in linted}
    hooks = [shlex.split(hook["entry"]) for hook in HOOKS]
    assert {(Path(program).name, argument) for program, argument, *_ in hooks} == commands
    assert all(program.startswith(".venv/bin/") and (BIN / Path(program).name).exists() for program, *_ in hooks)
    assert f".venv/bin/mypy {code}" in [hook["entry"] for hook in HOOKS]
    assert all(hook["language"] == "system" for hook in HOOKS)
