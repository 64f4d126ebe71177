"""lmms-eval: how it is run, and what is made of its reports."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from evaluation.cell import Cell
from evaluation.failure import EvaluationError
from evaluation.lmms.report import markdown, rows, score
from evaluation.lmms.run import LmmsRun, interpreter
from evaluation.lmms.scenes import doc_to_text, doc_to_visual, process_results, write_task
from evaluation.published import BENCHMARKS, TABLE_1
from evaluation.sample import load_samples


def test_where_lmms_eval_is_missing_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EvaluationError, match=r"(?s)pip install 'lmms-eval==0\.7\.3'.*--python lmms-eval/bin/python"):
        interpreter(None)
    assert interpreter(sys.executable) == sys.executable
    with pytest.raises(EvaluationError, match="--python /nonesuch is no interpreter"):
        interpreter("/nonesuch")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert interpreter(None) == sys.executable


def test_a_run_without_a_report_is_an_error(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/arguments\n')
    python.chmod(0o755)
    run = LmmsRun(Cell("gprune", 0.5), "pope", tmp_path / "reports", ["--limit", "3"], 8)
    assert run.report is None
    with pytest.raises(EvaluationError, match="ended with 0 and without results for pope"):
        run.run(str(python), "http://server", "served")
    said = (tmp_path / "arguments").read_text()
    assert "url=http://server,model=served,prune_ratio=0.5,prune_method=gprune,concurrency=8 --tasks pope" in said
    assert "--limit 3" in said


def test_a_task_is_written_that_asks_about_scenes(tmp_path: Path) -> None:
    samples = load_samples(1)
    write_task(tmp_path, samples)
    docs = [json.loads(line) for line in (tmp_path / "scenes.jsonl").read_text().splitlines()]
    for doc, sample in zip(docs, samples, strict=True):
        assert doc_to_text(doc) == sample.question
        assert doc_to_visual(doc)[0].tobytes() == sample.picture.image.tobytes()
        assert process_results(doc, [f" {sample.answer.lower()}\n"]) == {"exact": 1.0}
        assert process_results(doc, ["something else"]) == {"exact": 0.0}
    assert "functions.doc_to_visual" in (tmp_path / "gprune_scenes.yaml").read_text()
    assert (tmp_path / "functions.py").exists()


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
