"""Servers that the evaluation starts itself."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from evaluation import service
from evaluation.failure import EvaluationError
from evaluation.fingerprint import model_digest
from evaluation.provenance import provenance
from evaluation.service import dtype_of, own_service
from gprune_vllm.settings import PruneSettings


def test_a_server_that_does_not_start_shows_the_end_of_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho --prune-threshold: not in 0 to 1; exit 2")
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    log = tmp_path / "logs" / "server.log"
    expected = pytest.raises(EvaluationError, match=r"(?s)The server stopped\. .*--prune-threshold")
    with expected, own_service("model", log).running():
        pass
    assert "--prune-threshold" in log.read_text()


def test_a_failure_while_it_runs_shows_the_end_of_its_log(tmp_path: Path, started: Callable[[], Sequence[str]]) -> None:
    log = tmp_path / "server.log"
    log.write_text("the engine died")
    expected = pytest.raises(EvaluationError, match=r"(?s)the server answered 500.*the engine died")
    with expected, own_service("model", log).running():
        raise EvaluationError("the server answered 500")
    assert started()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Sequence[str]]:
    """The arguments of the server that would have been started."""
    seen: list[str] = []

    @contextmanager
    def launched(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Iterator[SimpleNamespace]:
        seen.extend(command)
        yield SimpleNamespace(url="http://server")

    monkeypatch.setattr(service, "launched", launched)
    return lambda: seen


def test_settings_reach_the_command_line(tmp_path: Path, started: Callable[[], Sequence[str]]) -> None:
    with own_service("model", tmp_path / "log", {"prune-score": "ones"}, "--max-model-len 512").running():
        pass
    text = " ".join(started())
    assert "--prune-score ones" in text
    assert "--max-model-len 512" in text
    assert "--no-enable-prefix-caching" in text
    assert "--dtype" not in text


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
        own_service(str(tmp_path / "one"), log),
        own_service(str(tmp_path / "one"), log, {"prune-score": "ones"}),
        own_service(str(tmp_path / "one"), log, {}, "--dtype float32"),
        own_service(str(tmp_path / "other"), log),
    ]
    assert len({each.fingerprint for each in services}) == 4


@pytest.mark.parametrize("given", ["--dtype bfloat16", "--enforce-eager --dtype=bfloat16 --max-model-len 512"])
def test_a_data_type_that_is_named_wins(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluation.service.default_dtype", lambda: "float32")
    assert dtype_of("--max-model-len 512") == "float32"
    assert dtype_of(given) == "bfloat16"


def test_answers_of_another_processors_data_type_are_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    services = []
    for dtype in ("float32", "auto"):
        monkeypatch.setattr("evaluation.service.default_dtype", lambda dtype=dtype: dtype)
        services.append(own_service("model", tmp_path / "log"))
    assert [each.dtype for each in services] == ["float32", "auto"]
    assert services[0].fingerprint != services[1].fingerprint


def test_settings_of_this_process_do_not_reach_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPRUNE_PRUNE_SCORE", "ones")
    assert PruneSettings.load().prune_score == "ones"
    assert not any(name.startswith("GPRUNE_") for name in service.environment())


def test_provenance_leaves_out_where_things_lie() -> None:
    text = provenance(["table1", "--output", "/home/me/out", "--model", "/home/me/demo", "--scenes", "5"], "float32")
    assert "`python -m evaluation table1 --model demo --scenes 5`" in text
    assert "/home" not in text
    assert "torch 2." in text
    assert text.endswith("; served with --dtype float32.")
