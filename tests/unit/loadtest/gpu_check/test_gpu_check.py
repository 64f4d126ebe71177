"""The GPU check on a machine without a GPU: it says so, and its code runs at a tiny shape."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from gprune_vllm.selectors import selector_names
from loadtest.benchmarks.shapes import SHAPES
from loadtest.gpu_check import __main__ as gpu_check
from loadtest.gpu_check.__main__ import NOT_RUN, main
from loadtest.gpu_check.model import Model
from loadtest.gpu_check.sweep import MIXED
from loadtest.gpu_check.synchronisation import NOT_CHECKED

TINY = ["--device", "cpu", "--shape", "tiny", "--rounds", "1"]


def read(file: Path) -> Any:
    return json.loads(file.read_text())


def test_without_a_gpu_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_check, "has_cuda", lambda: False)
    for level in ("1", "2"):
        assert main(["--output", str(tmp_path), "--level", level]) == 0
        result = read(tmp_path / "gpu_check.json")
        assert (result["status"], result["level"]) == (NOT_RUN, level)
        assert result["date"].endswith("+00:00")
    assert capsys.readouterr().out.count(NOT_RUN) == 2


def test_level_1_measures_all_parts(tmp_path: Path) -> None:
    assert main(["--output", str(tmp_path), *TINY]) == 0
    assert read(tmp_path / "gpu_check.json")["status"] == "run"
    assert [case["dtype"] for case in read(tmp_path / "selectors.json")["cases"]] == ["float32", "bfloat16"]
    parts = read(tmp_path / "parts.json")
    assert [row["ratio"] for row in parts["ratios"]] == [0.0, 0.5, 0.7, 0.9]
    lengths = [row["prompt_tokens"] for row in parts["ratios"]]
    assert lengths == sorted(lengths, reverse=True)
    assert all(len(row["steps"]) == 5 for row in parts["ratios"])
    assert parts["waits"] == dict.fromkeys([*selector_names(), "control, which waits"], NOT_CHECKED)


def test_level_1_needs_neither_vllm_nor_a_server(tmp_path: Path) -> None:
    absent = ("vllm", "pydantic", "fastapi", "httpx", "openai", "prometheus_client", "uvicorn")
    run = (
        "import sys; sys.modules.update(dict.fromkeys(sys.argv[1].split(','))); "
        "from loadtest.gpu_check.__main__ import main; sys.exit(main(sys.argv[2:]))"
    )
    words = [sys.executable, "-c", run, ",".join(absent), "--output", str(tmp_path), *TINY]
    finished = subprocess.run(words, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def test_level_2_measures_engines_at_every_ratio_and_concurrency(tmp_path: Path) -> None:
    assert main(["--output", str(tmp_path), "--level", "2", "--concurrency", "1", "3", *TINY]) == 0
    assert read(tmp_path / "gpu_check.json")["status"] == "run"
    assert len(read(tmp_path / "prefill.json")["times"]) == 2 + 2 * 4
    cells = read(tmp_path / "sweep.json")["cells"]
    names = ["stock", MIXED, "ours 0 %", "ours 50 %", "ours 70 %", "ours 90 %"]
    assert [(cell["name"], cell["concurrency"]) for cell in cells] == [(name, at) for at in (1, 3) for name in names]
    assert all(cell["requests_per_second"] > 0 for cell in cells)
    assert read(tmp_path / "synchronisation.json") == {"pruning": NOT_CHECKED}


def test_a_failure_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object, **__: object) -> Path:
        return tmp_path / "nothing"

    monkeypatch.setattr("loadtest.gpu_check.level_2.write_checkpoint", nothing)
    assert main(["--output", str(tmp_path), "--level", "2", *TINY]) == 1
    assert "the engine failed" in read(tmp_path / "gpu_check.json")["status"]


@torch.inference_mode()
def test_parts_fit_together_as_the_plan_says() -> None:
    shape = SHAPES["tiny"]
    model = Model(shape, 1, "cpu")
    for ratio in (0.0, 0.7):
        plan = shape.plan(shape.picture, ratio)
        features = model.tower(model.pixels(plan))
        assert features.shape == (plan.crops, plan.base_tokens, shape.tower.hidden_size)
        embeddings = model.project(model.select(features, plan), plan)
        assert embeddings.shape == (1, plan.kept, shape.decoder.hidden_size)
        assert model.decode(embeddings).shape == embeddings.shape
