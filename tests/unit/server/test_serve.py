"""The command line: settings become flags, mistakes end the start with a message that names them."""

import os
import subprocess
from argparse import Namespace

import pytest

from gprune_vllm.settings import PruneSettings, flag_name
from server.serve import enable_plugins, export_settings, refuse_rust_frontend
from tests.support.servers import GPRUNE_SERVE, server_environment


@pytest.fixture(autouse=True)
def restored_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what the functions under test write into the environment."""
    monkeypatch.setattr(os, "environ", os.environ.copy())


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*GPRUNE_SERVE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=server_environment(environment), timeout=120)


def test_given_flags_reach_other_processes_by_environment() -> None:
    export_settings(Namespace(model="any", default_prune_ratio="0.5", prune_temperature="none"))
    assert os.environ["GPRUNE_DEFAULT_PRUNE_RATIO"] == "0.5"
    assert os.environ["GPRUNE_PRUNE_TEMPERATURE"] == "none"
    assert "GPRUNE_PRUNE_STAGE" not in os.environ


def test_flags_win_over_the_environment() -> None:
    os.environ["GPRUNE_DEFAULT_PRUNE_RATIO"] = "0.9"
    export_settings(Namespace(default_prune_ratio="0.5"))
    assert os.environ["GPRUNE_DEFAULT_PRUNE_RATIO"] == "0.5"


def test_naming_our_plugin_hides_no_other() -> None:
    os.environ.pop("VLLM_PLUGINS", None)
    enable_plugins()
    assert {"gprune", "lora_filesystem_resolver"} <= set(os.environ["VLLM_PLUGINS"].split(","))


@pytest.mark.parametrize(("named", "expected"), [("", "gprune"), ("mine", "gprune,mine"), ("gprune", "gprune")])
def test_plugins_named_by_the_operator_are_kept(named: str, expected: str) -> None:
    os.environ["VLLM_PLUGINS"] = named
    enable_plugins()
    assert os.environ["VLLM_PLUGINS"] == expected


def test_rust_frontend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_USE_RUST_FRONTEND", "1")
    with pytest.raises(ValueError, match="VLLM_USE_RUST_FRONTEND"):
        refuse_rust_frontend()


def test_mistaken_flag_ends_the_start_naming_it() -> None:
    ended = run("any-model", "--prune-stage", "middle")
    assert ended.returncode == 2
    assert "--prune-stage (or GPRUNE_PRUNE_STAGE) is 'middle'" in ended.stderr


def test_mistaken_environment_ends_the_start_naming_it() -> None:
    ended = run("any-model", GPRUNE_PRUNE_ITERATIONS="many")
    assert ended.returncode == 2
    assert "GPRUNE_PRUNE_ITERATIONS" in ended.stderr


def test_help_lists_every_setting_once() -> None:
    text = run("--help=gprune").stdout
    for field in PruneSettings.model_fields:
        assert text.count(f"  {flag_name(field)} ") + text.count(f"  {flag_name(field)}\n") == 1
