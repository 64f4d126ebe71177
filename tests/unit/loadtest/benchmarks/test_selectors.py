"""The selector benchmark in its smallest form."""

import json
from pathlib import Path

import pytest
from PIL import Image

from gprune_vllm.selectors import selector_names
from loadtest.benchmarks.__main__ import main
from loadtest.benchmarks.breakdown import DEGREES, EDGES, GRAM, PROPAGATION, TOP_K


def test_writes_figures_a_table_and_a_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["selectors", "--output", str(tmp_path), "--rounds", "2", "--tokens", "48", "--widths", "16", "32"]
    assert main([*words, "--devices", "cpu"]) == 0
    result = json.loads((tmp_path / "selectors.json").read_text())
    assert result["command"] == (
        "python -m loadtest.benchmarks selectors --rounds 2 --tokens 48 --widths 16 32 --devices cpu"
    )
    assert {"commit", "hardware", "versions"} < set(result)
    assert [(case["width"], case["dtype"], case["kept"]) for case in result["cases"]] == [
        (width, dtype, 14) for width in (16, 32) for dtype in ("float32", "bfloat16")
    ]
    for case in result["cases"]:
        assert list(case["methods"]) == ["released", "released, float32", *selector_names()]
        assert all(len(each["seconds"]) == 2 for each in case["methods"].values())
        assert case["methods"]["released"]["speedup"] == 1
        assert list(case["parts"]) == [GRAM, EDGES, DEGREES, PROPAGATION, TOP_K]
        assert case["agreement"] == 1.0
    text = (tmp_path / "selectors.md").read_text()
    assert text.strip() in capsys.readouterr().out
    assert "| cpu, 48 x 16, float32 |" in text
    with Image.open(tmp_path / "selectors.png") as plot:
        assert plot.width > 300


def test_help_names_every_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("selectors", "prefill", "overhead"))
