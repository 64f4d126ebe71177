"""The overhead benchmark in its smallest form: our server, and stock vLLM's beside it."""

import json
from pathlib import Path

import pytest
from PIL import Image

from evaluation.failure import EvaluationError
from loadtest.benchmarks.overhead import KINDS, measure_requests, report
from loadtest.serving.servers import STOCK, serving
from tests.support.servers import API_KEY, COMMON, MODEL, Server


def test_both_servers_answer_all_kinds_of_requests(
    checkpoint: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", API_KEY)
    with serving(STOCK, str(checkpoint), COMMON, tmp_path) as stock:
        times = measure_requests({"stock": stock, "ours": server.url}, MODEL, rounds=3)
        with pytest.raises(EvaluationError, match="404"):
            measure_requests({"stock": stock, "ours": server.url}, "another", rounds=1)
    assert tuple(times) == KINDS
    assert all(len(each.seconds) == 3 for both in times.values() for each in both.values())
    report(times, tmp_path, "the command")
    result = json.loads((tmp_path / "overhead.json").read_text())
    for kind in KINDS:
        ratio = result["requests"][kind]["ratio"]
        assert ratio["low"] <= ratio["value"] <= ratio["high"]
        assert f"| {kind} |" in (tmp_path / "overhead.md").read_text()
    with Image.open(tmp_path / "overhead.png") as plot:
        assert plot.width > 600
