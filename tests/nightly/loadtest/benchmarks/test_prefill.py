"""The prefill benchmark in its smallest form, with real engines."""

import json
from pathlib import Path

import pytest
from PIL import Image

from loadtest.benchmarks.__main__ import main
from loadtest.benchmarks.prefill import QUESTION_LENGTH
from loadtest.benchmarks.shapes import SHAPES


def test_measures_engines_with_pruning_and_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Threads that are bound to cores wait for one another where other tests run beside them.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    words = ["prefill", "--output", str(tmp_path), "--model-shape", "tiny", "--rounds", "2", "--ratios", "0.7"]
    assert main(words) == 0
    result = json.loads((tmp_path / "prefill.json").read_text())
    assert set(result["times"]) == {"stock", "tower", "ours 0", "ours 0.7", "text 0", "text 0.7"}
    assert all(len(each["seconds"]) == 2 and each["median"] > 0 for each in result["times"].values())
    assert [(row["ratio"], row["prompt_tokens"]) for row in result["ratios"]] == [
        (ratio, QUESTION_LENGTH + SHAPES["tiny"].plan(ratio).kept) for ratio in (0.0, 0.7)
    ]
    assert (result["layers"], result["published_layers"]) == (2, 2)
    assert "| 70 % |" in (tmp_path / "prefill.md").read_text()
    with Image.open(tmp_path / "prefill.png") as plot:
        assert plot.width > 300
