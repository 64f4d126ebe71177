"""The prefill benchmark in its smallest form, with real engines that run one after the other."""

import json
from pathlib import Path

import pytest
from PIL import Image

from evaluation.failure import EvaluationError
from loadtest.benchmarks.__main__ import main
from loadtest.benchmarks.engine import QUESTION_LENGTH, Engines
from loadtest.benchmarks.shapes import SHAPES


def test_measures_engines_with_pruning_and_without(tmp_path: Path) -> None:
    words = ["prefill", "--output", str(tmp_path), "--model-shape", "tiny", "--rounds", "1", "--ratios", "0.7"]
    assert main([*words, "--apart"]) == 0
    result = json.loads((tmp_path / "prefill.json").read_text())
    names = {"stock", "tower", "ours 0", "ours 0.7", "text 0", "text 0.7"}
    assert set(result["times"]) == names
    assert all(each["median"] > 0 for each in result["times"].values())
    plan = SHAPES["tiny"].plan
    assert [(row["ratio"], row["prompt_tokens"]) for row in result["ratios"]] == [
        (ratio, QUESTION_LENGTH + plan(SHAPES["tiny"].picture, ratio).kept) for ratio in (0.0, 0.7)
    ]
    assert (result["layers"], result["published_layers"]) == (2, 2)
    assert "| 70 % |" in (tmp_path / "prefill.md").read_text()
    with Image.open(tmp_path / "prefill.png") as plot:
        assert plot.width > 300


def test_an_engine_that_does_not_start_says_why(tmp_path: Path) -> None:
    engines = Engines(tmp_path / "nothing", SHAPES["tiny"], tmp_path / "logs", 0.4)
    with pytest.raises(EvaluationError, match=r"the engine failed: [\s\S]*stock\.log"), engines.start(False):
        pass
