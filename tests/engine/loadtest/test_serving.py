"""The serving benchmark measures servers that run already, in turns."""

import json
from pathlib import Path

import pytest

from loadtest.serving.__main__ import main
from tests.support.servers import API_KEY, Server

QUICK = ("--concurrency", "2", "--size", "112x112", "--requests", "2", "--rounds", "2", "--max-tokens", "3")


def test_both_servers_are_measured(server: Server, stock_server: Server, tmp_path: Path) -> None:
    urls = ("--stock-url", stock_server.url, "--gprune-url", server.url, "--api-key", API_KEY)
    assert main(["--output", str(tmp_path), *urls, *QUICK, "--ratios", "0,0.7", "--rates", "50"]) == 0
    report = json.loads((tmp_path / "serving.json").read_text())
    assert [(row["variant"], row["result"]["arrival"]) for row in report["rows"]] == [
        (variant, arrival) for arrival in ("concurrency-2", "rate-50") for variant in ("stock", "0", "0.7", "mixed")
    ]
    assert {(row["result"]["completed"], row["result"]["failed"]) for row in report["rows"]} == {(4, 0)}
    assert {row["result"]["visual_tokens_input"] for row in report["rows"] if row["variant"] == "stock"} == {None}
    images = {row["variant"]: row for row in report["concurrent_images"]}
    assert images["stock"]["prompt_tokens"] == images["0"]["prompt_tokens"] > images["0.7"]["prompt_tokens"]
    assert images["0.7"]["images"] > images["0"]["images"] > 0
    assert len(report["aims"]) == 7
    assert "not slower than stock" in (tmp_path / "serving.md").read_text()
    assert API_KEY not in (tmp_path / "serving.md").read_text()


def test_a_server_without_the_plugin_is_no_other_side(
    stock_server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = ("--stock-url", stock_server.url, "--gprune-url", stock_server.url, "--api-key", API_KEY)
    assert main(["--output", str(tmp_path), *urls, *QUICK, "--ratios", "0.7"]) == 2
    assert "ratio 0.7, concurrency 2: asked for pruning, but nothing proves it" in capsys.readouterr().err
