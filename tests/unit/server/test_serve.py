"""The command line: settings become flags, mistakes end the start with a message that names them."""

import logging
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from gprune_server import serve
from gprune_server.serve import (
    build_parser,
    enable_plugins,
    export_settings,
    refuse_rust_frontend,
    report_dtype,
)
from gprune_vllm.settings import PruneSettings, flag_name
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


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "float32"),
        (["--dtype", "bfloat16"], "bfloat16"),
        (["--dtype", "auto"], "auto"),
        (["--config", "serve.yaml"], "half"),
    ],
)
def test_processor_chooses_the_data_type_where_the_operator_does_not(
    arguments: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "serve.yaml").write_text("dtype: half\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(serve, "default_dtype", lambda: "float32")
    assert build_parser().parse_args(["any-model", *arguments]).dtype == expected


@pytest.mark.parametrize(
    ("served", "chosen", "told"),
    [("float32", "float32", True), ("bfloat16", "float32", False), ("auto", "auto", False), ("float32", "auto", False)],
)
def test_a_line_says_that_the_processor_chose(
    served: str, chosen: str, told: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serve, "default_dtype", lambda: chosen)
    monkeypatch.setattr(logging.getLogger("vllm"), "propagate", True)
    with caplog.at_level("INFO", "vllm"):
        report_dtype(Namespace(dtype=served))
    assert ("Serving in float32; --dtype bfloat16 overrides" in caplog.text) is told


def test_rust_frontend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_USE_RUST_FRONTEND", "1")
    with pytest.raises(ValueError, match="VLLM_USE_RUST_FRONTEND"):
        refuse_rust_frontend()


def test_mistakes_end_the_start_and_are_all_named() -> None:
    ended = run("any-model", "--prune-stage", "middle", GPRUNE_PRUNE_ITERATIONS="many")
    assert ended.returncode == 2
    assert "--prune-stage (or GPRUNE_PRUNE_STAGE) is 'middle'" in ended.stderr
    assert "GPRUNE_PRUNE_ITERATIONS" in ended.stderr


def test_help_lists_every_setting_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["--help=gprune"])
    text = capsys.readouterr().out
    for field in PruneSettings.model_fields:
        assert text.count(f"  {flag_name(field)} ") + text.count(f"  {flag_name(field)}\n") == 1


# A process that ends without removing its semaphore. The tracker, which outlives it, warns.
LEAK = "import multiprocessing, os; kept = multiprocessing.get_context('spawn').Semaphore(); os._exit(0)"


@pytest.mark.parametrize("given", ["", "ignore::ImportWarning"])
def test_a_clean_stop_warns_of_no_leaks(given: str) -> None:
    def printed(program: str) -> str:
        environment = os.environ | {"PYTHONWARNINGS": given}
        command = [sys.executable, "-c", program]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stderr

    assert "leaked semaphore" in printed(LEAK)
    assert "leaked" not in printed(f"from gprune_server.serve import hide_leaks; hide_leaks(); {LEAK}")
