"""The overhead benchmark in its smallest form, on a server with the plugin and one without."""

import json
from pathlib import Path

import pytest
from PIL import Image

from loadtest.benchmarks.__main__ import main
from loadtest.benchmarks.overhead import OURS, PICTURE, RATIO_0, STOCK, TEXT
from tests.support.servers import API_KEY, Server


def test_measures_servers_that_run(server: Server, stock_server: Server, tmp_path: Path) -> None:
    urls = ["--url", server.url, "--stock-url", f"{stock_server.url}/v1", "--api-key", API_KEY]
    assert main(["overhead", "--output", str(tmp_path), "--rounds", "3", *urls]) == 0
    text = (tmp_path / "overhead.json").read_text()
    assert API_KEY not in text
    result = json.loads(text)
    assert list(result["requests"]) == [TEXT, PICTURE, RATIO_0]
    for kind, found in result["requests"].items():
        assert [len(found[name]["seconds"]) for name in (STOCK, OURS)] == [3, 3]
        assert found["ratio"]["low"] <= found["ratio"]["value"] <= found["ratio"]["high"]
        assert f"| {kind} |" in (tmp_path / "overhead.md").read_text()
    with Image.open(tmp_path / "overhead.png") as plot:
        assert plot.width > 600


def test_a_server_that_refuses_ends_the_benchmark(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = ["--url", server.url, "--stock-url", server.url, "--api-key", "another"]
    assert main(["overhead", "--output", str(tmp_path), "--rounds", "1", *urls]) == 1
    assert "error: " in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
