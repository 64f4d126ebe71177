"""The selector benchmark in its smallest form."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from gprune_vllm.methods.registry import selector_names
from loadtest.benchmarks.__main__ import main


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Several threads wait for one another where other programs run beside them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_writes_figures_a_table_and_a_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["selectors", "--output", str(tmp_path), "--rounds", "2", "--tokens", "48", "--widths", "16"]
    assert main([*words, "--device", "cpu"]) == 0
    result = json.loads((tmp_path / "selectors.json").read_text())
    assert result["command"] == (
        "python -m loadtest.benchmarks selectors --rounds 2 --tokens 48 --widths 16 --device cpu"
    )
    assert [(case["dtype"], case["kept"]) for case in result["cases"]] == [("float32", 14), ("bfloat16", 14)]
    for case in result["cases"]:
        assert list(case["methods"]) == ["released", "released, float32", *selector_names()]
        assert all(len(each["seconds"]) == 2 for each in case["methods"].values())
        assert case["methods"]["released"]["speedup"] == 1
        assert list(case["parts"]) == ["Gram product", "edges", "degrees", "propagation", "top-k"]
        assert case["agreement"] == 1.0
    text = (tmp_path / "selectors.md").read_text()
    assert text.strip() in capsys.readouterr().out
    assert text.count("| cpu, 48 x 16, float32 |") == 2
    with Image.open(tmp_path / "selectors.png") as plot:
        assert plot.width > 300


def test_help_names_every_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("selectors", "prefill", "overhead"))


def test_a_device_that_is_not_there_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        main(["selectors", "--output", "nowhere", "--device", "cuda"])
    assert "argument --device: invalid choice: 'cuda'" in capsys.readouterr().err
