"""Servers that the evaluation starts itself."""

import sys
import time
from pathlib import Path

import pytest

from evaluation import server
from evaluation.failure import EvaluationError
from evaluation.fingerprint import model_digest
from evaluation.provenance import provenance
from evaluation.service import OwnService
from gprune_vllm.settings import PruneSettings


def test_a_server_that_does_not_start_shows_the_end_of_its_log(checkpoint: Path, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "server.log"
    service = OwnService(str(checkpoint), log, {"prune-threshold": "7"})
    with pytest.raises(EvaluationError, match=r"(?s)the server stopped; .*--prune-threshold"), service.running():
        pass
    assert "--prune-threshold" in log.read_text()


def test_a_server_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "START_LIMIT", 0)
    started: list[int] = []
    popen = server.subprocess.Popen

    def sleep(command: list[str], **options: object) -> object:
        process = popen([sys.executable, "-c", "import time; print('loading', flush=True); time.sleep(600)"], **options)  # type: ignore[call-overload]
        started.append(process.pid)
        time.sleep(1)
        return process

    monkeypatch.setattr(server.subprocess, "Popen", sleep)
    with pytest.raises(EvaluationError, match="not healthy"), server.serving(["model"], tmp_path / "server.log"):
        pass
    assert not Path(f"/proc/{started[0]}").exists()


def test_a_failure_while_it_runs_shows_the_end_of_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import contextmanager

    log = tmp_path / "server.log"
    log.write_text("the engine died")

    @contextmanager
    def serving(arguments: list[str], log: Path):  # type: ignore[no-untyped-def]
        yield "http://server"

    monkeypatch.setattr("evaluation.service.serving", serving)
    expected = pytest.raises(EvaluationError, match=r"(?s)the server answered 500.*the engine died")
    with expected, OwnService("model", log).running():
        raise EvaluationError("the server answered 500")


def test_settings_reach_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from contextlib import contextmanager

    seen: list[str] = []

    @contextmanager
    def serving(arguments: list[str], log: Path):  # type: ignore[no-untyped-def]
        seen.extend(arguments)
        yield "http://server"

    monkeypatch.setattr("evaluation.service.serving", serving)
    with OwnService("model", tmp_path / "log", {"prune-score": "ones"}, "--max-model-len 512").running():
        pass
    text = " ".join(seen)
    assert "--prune-score ones" in text
    assert text.endswith("--max-model-len 512")
    assert "--no-enable-prefix-caching" in text


def test_fingerprints_tell_models_and_settings_apart(tmp_path: Path) -> None:
    for name, weights in (("one", b"1"), ("same", b"1"), ("other", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(weights)
        (tmp_path / name / "README.md").write_text(f"The card of {name}.")
    one, same, other = (model_digest(str(tmp_path / name)) for name in ("one", "same", "other"))
    assert one == same != other
    assert model_digest("org/one") != model_digest("org/other")
    log = tmp_path / "log"
    services = [
        OwnService(str(tmp_path / "one"), log),
        OwnService(str(tmp_path / "one"), log, {"prune-score": "ones"}),
        OwnService(str(tmp_path / "one"), log, {}, "--dtype float32"),
        OwnService(str(tmp_path / "other"), log),
    ]
    assert len({service.fingerprint for service in services}) == 4


def test_settings_of_this_process_do_not_reach_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPRUNE_PRUNE_SCORE", "ones")
    assert PruneSettings.load().prune_score == "ones"
    assert not any(name.startswith("GPRUNE_") for name in server.environment())


def test_provenance_leaves_out_where_things_lie() -> None:
    text = provenance(["table1", "--output", "/home/me/out", "--model", "/home/me/demo", "--scenes", "5"])
    assert "`python -m evaluation table1 --model demo --scenes 5`" in text
    assert "/home" not in text
    assert "torch 2." in text
