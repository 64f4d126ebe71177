"""lmms-eval, run as it is, on a task of scenes against a real server."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluation.__main__ import main
from evaluation.cell import UNPRUNED, Cell
from evaluation.commands import lmms
from evaluation.failure import EvaluationError
from evaluation.journal import Journal
from evaluation.lmms.environment import interpreter
from evaluation.lmms.report import markdown, rows, score
from evaluation.lmms.scenes import NAME as SCENES
from evaluation.measurement import measure
from evaluation.published import BENCHMARKS, TABLE_1
from evaluation.sample import Sample, load_samples
from evaluation.service import RunningService
from tests.support.tools import missing
from tests.support.servers import API_KEY, Server


@pytest.fixture(scope="module")
def installed() -> None:
    """lmms-eval is there, or can be installed."""
    try:
        interpreter()
    except EvaluationError as error:
        missing(str(error))


@pytest.fixture
def samples(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Sample]:
    """Questions of which the model, whose weights are random, answers every other one as it is to."""
    monkeypatch.setenv("VLLM_API_KEY", API_KEY)
    asked = load_samples(1)[:4]
    service = RunningService.at(server.url)
    answers = measure(service, [Cell("gprune", 0.5)], asked, Journal(tmp_path / "answers"), 2)[0].answers
    expected = [answer.text if place % 2 else "wrong" for place, answer in enumerate(answers)]
    return [replace(sample, answer=answer) for sample, answer in zip(asked, expected, strict=True)]


@pytest.mark.usefixtures("installed")
def test_lmms_eval_scores_what_the_server_answers(
    server: Server, samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lmms, "load_samples", lambda scenes, seed: samples)
    words = ["lmms", "--url", server.url, "--tasks", SCENES, "--scenes", "1", "--output", str(tmp_path)]
    assert main([*words, "--ratios", "0.5"]) == 0
    report = {(row["method"], row["ratio"]): row for row in json.loads((tmp_path / "lmms.json").read_text())}
    assert report["gprune", 0.5]["score"] == 50.0
    assert report["gprune", 0.5]["questions"] == 4
    assert report[UNPRUNED, 0.0]["score"] < 50.0  # other visual tokens, other noise
    assert "| gprune | 50% | 50.00 |" in (tmp_path / "lmms.md").read_text()

    # What has a report is not run again; a method that the server lacks is an error, and not a wrong answer.
    assert main([*words, "--ratios", "0.5", "--methods", "nonesuch"]) == 1
    monkeypatch.setattr(lmms, "interpreter", lambda: Path("/nonexistent"))
    assert main([*words, "--ratios", "0.5"]) == 0


def report_of(task: str, **metrics: Any) -> dict[str, Any]:
    """A report as lmms-eval writes it."""
    return {
        "results": {task: {"alias": task, **{f"{name},none": value for name, value in metrics.items()}}},
        "n-samples": {task: {"original": 10, "effective": 10}},
        "throughput": {"avg_samples_per_second": 2.0},
    }


METRICS = {
    "gqa": {"exact_match": 0.65},
    "vqav2_val": {"exact_match": 0.82},
    "mme": {"mme_cognition_score": 300.0, "mme_perception_score": 1500.0},
    "pope": {"pope_accuracy": 0.9, "pope_f1_score": 0.875},
    "mmbench_en_dev": {"gpt_eval_score": 72.5, "submission": None},
    "chartqa": {"relaxed_human_split": 0.5, "relaxed_overall": 0.69},
    "docvqa_val": {"anls": 0.78},
    "textvqa_val": {"exact_match": 0.654, "submission": None},
}


def test_scores_stand_above_the_papers() -> None:
    scores = {Cell("gprune", 0.7): {task: report_of(task, **METRICS[task]) for task in BENCHMARKS}}
    lines = markdown(scores, list(BENCHMARKS)).splitlines()
    assert lines[0] == (
        "| method | pruned | GQA | VQAv2 | MME | POPE | MMB-EN | ChartQA | DocVQA | TextVQA | samples/s |"
    )
    assert lines[2] == "| gprune | 70% | 65.00 | 82.00 | 1500.00 | 87.50 | 72.50 | 69.00 | 78.00 | 65.40 | 2.00 |"
    paper = "| paper: gprune | 70% | 64.37 | 81.91 | 1609.87 | 87.69 | 70.19 | 65.04 | 70.72 | 63.87 |  |"
    assert lines[3] == paper
    assert [row["task"] for row in rows(scores)] == list(BENCHMARKS)


def test_every_row_of_the_paper_has_all_its_benchmarks() -> None:
    assert all(len(figures) == len(BENCHMARKS) for figures in TABLE_1.values())


def test_a_task_that_the_paper_lacks_has_its_first_metric() -> None:
    assert score(report_of("other", submission=None, first=3.5, second=1.0), "other") == 3.5
    with pytest.raises(EvaluationError, match="lmms-eval reports no anls of docvqa_val"):
        score(report_of("docvqa_val", other=1.0), "docvqa_val")
