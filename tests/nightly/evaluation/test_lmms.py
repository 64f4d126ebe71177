"""lmms-eval, run as it is, on a task of scenes against a real server."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.__main__ import main
from evaluation.cell import UNPRUNED, Cell
from evaluation.commands import lmms
from evaluation.journal import Journal
from evaluation.lmms.scenes import NAME as SCENES
from evaluation.measurement import measure
from evaluation.sample import Sample, load_samples
from evaluation.service import running_service
from tests.support.servers import API_KEY, Server
from tests.support.tools import TOOLS, require


@pytest.fixture
def samples(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Sample]:
    """Questions of which the model, whose weights are random, answers every other one as it is to."""
    monkeypatch.setenv("VLLM_API_KEY", API_KEY)
    asked = load_samples(1)[:4]
    service = running_service(server.url)
    answers = measure(service, [Cell("gprune", 0.5)], asked, Journal(tmp_path / "answers"), 2)[0].answers
    expected = [answer.text if place % 2 else "wrong" for place, answer in enumerate(answers)]
    return [replace(sample, answer=answer) for sample, answer in zip(asked, expected, strict=True)]


def test_lmms_eval_scores_what_the_server_answers(
    server: Server, samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = require(f"{TOOLS}/lmms-eval")
    monkeypatch.setattr(lmms, "load_samples", lambda scenes, seed, world: samples)
    words = ["lmms", "--url", server.url, "--tasks", SCENES, "--scenes", "1", "--ratios", "0.5"]
    words += ["--output", str(tmp_path)]
    assert main([*words, "--python", python]) == 0
    report = {(row["method"], row["ratio"]): row for row in json.loads((tmp_path / "lmms.json").read_text())}
    assert report["gprune", 0.5]["score"] == 50.0
    assert report["gprune", 0.5]["questions"] == 4
    assert report[UNPRUNED, 0.0]["score"] < 50.0  # other visual tokens, other noise
    assert "| gprune | 50% | 50.00 |" in (tmp_path / "lmms.md").read_text()

    # A method that the server lacks is an error, and not a wrong answer; what has a report needs no lmms-eval.
    assert main([*words, "--python", python, "--methods", "nonesuch"]) == 1
    assert main(words) == 0
