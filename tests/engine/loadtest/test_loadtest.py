"""Load tests of a real server: what they write, and how they end when something is wrong."""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from loadtest.__main__ import main
from tests.support.faulty import proxy
from tests.support.servers import API_KEY, MODEL, Server

QUICK = ("--requests", "6", "--sizes", "112x112", "--max-tokens", "4", "--extra-body", '{"ignore_eos": true}')
Run = Callable[..., int]


@pytest.fixture
def run(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a load test of the server, or of another URL, and returns the exit status."""
    monkeypatch.setenv("OPENAI_API_KEY", API_KEY)

    def start(*words: str, url: str = server.url) -> int:
        return main(["--url", url, "--output", str(tmp_path / "out"), *QUICK, *words])

    return start


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """What each cell came to."""
    return {file.stem: json.loads(file.read_text()) for file in (folder / "out").glob("*.json")}


def test_every_pattern_and_ratio_is_measured(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--concurrency", "1,3", "--rate", "20", "--ramp", "5", "15", "1", "--slo", "ttft:60000")
    assert run("--ratios", "0,0.7", "--mixed", *words) == 0
    cells = results(tmp_path)
    assert set(cells) == {
        f"ratio-{ratio}_{arrival}"
        for ratio in ("0", "0.7", "mixed")
        for arrival in ("concurrency-1", "concurrency-3", "rate-20", "ramp-5-15-1")
    }
    for name, cell in cells.items():
        requests = 10 if "ramp" in name else 6
        assert (cell["completed"], cell["failed"], cell["output_lens"]) == (requests, 0, [4] * requests)
        assert cell["request_goodput"] == cell["request_throughput"]
        assert cell["visual_tokens_input"] > cell["visual_tokens_kept"] or name.startswith("ratio-0_")
        assert max(map(len, cell["itls"])) == 3  # a busy server may send two tokens in one piece
        assert 0 < cell["median_ttft_ms"] <= cell["p99_ttft_ms"] <= cell["p99_e2el_ms"]
    assert Counter(cells["ratio-mixed_concurrency-3"]["prune_ratios"]) == {0.0: 3, 0.7: 3}
    report = (tmp_path / "out" / "report.md").read_text()
    assert "Passed." in report
    assert report.count("| concurrency 3 |") == 3
    assert "passed" in capsys.readouterr().out
    with Image.open(tmp_path / "out" / "report.png") as plot:
        assert plot.width > plot.height > 300


def test_unique_images_are_known_to_no_cache(run: Run, server: Server) -> None:
    def hits() -> float:
        return sum(value for name, value in server.metrics().items() if name.startswith("vllm:mm_cache_hits_total"))

    before = hits()
    assert run("--concurrency", "2") == 0
    assert hits() == before


def test_given_images_and_no_ratio_can_be_sent(run: Run, tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), "teal").save(tmp_path / "teal.png")
    assert run("--images", str(tmp_path), "--ratios", "none", "--concurrency", "2", "--prompt", "What is it?") == 0
    (cell,) = results(tmp_path).values()
    assert (cell["prune_ratio"], cell["prune_ratios"]) == (None, [None] * 6)
    assert len(set(cell["input_lens"])) == 1


def test_a_missed_gate_ends_with_status_1(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--slo", "ttft:0", "--fail-under", "request_goodput=0.001", "--fail-over", "p99_ttft_ms=0.001")
    assert run("--concurrency", "2", *words) == 1
    printed = capsys.readouterr().out
    assert "request_goodput is 0, at least 0.001 was asked for" in printed
    assert "p99_ttft_ms is" in printed
    assert "Failed:" in (tmp_path / "out" / "report.md").read_text()


def test_refused_requests_are_told(run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("--ratios", "0,1.5,0.7", "--concurrency", "2") == 1
    assert "6 of 6 requests failed: 400: prune_ratio must be a number in [0, 1), got 1.5" in capsys.readouterr().out
    cells = results(tmp_path)
    assert set(cells) == {"ratio-0_concurrency-2", "ratio-1.5_concurrency-2"}  # the last cell is not asked for
    assert cells["ratio-1.5_concurrency-2"]["median_ttft_ms"] is None


async def test_a_server_that_dies_leaves_figures_of_what_was_answered(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = count(1)

    def die(data: bytes) -> bytes | None:
        """After the list of models, the warm-up and two answers nothing comes any more."""
        return None if b"HTTP/1.1 200" in data and next(answers) > 4 else data

    async with proxy(server.url, die) as url:
        words = ("--url", url, "--output", str(tmp_path / "out"), "--concurrency", "1,2", *QUICK, "--api-key", API_KEY)
        status = await asyncio.to_thread(main, words)
    assert status == 1
    cells = results(tmp_path)
    (first, second) = (cells[f"ratio-0_concurrency-{number}"] for number in (1, 2))
    assert (first["completed"], first["failed"]) == (2, 4)
    assert (second["completed"], second["failed"]) == (0, 6)
    assert all(len(first[name]) == 6 for name in ("ttfts", "errors"))
    assert "requests failed: RemoteProtocolError" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--url", "http://127.0.0.1:9"), "no server answers at http://127.0.0.1:9"),
        (("--url", "localhost:9"), "no server answers"),
        (("--model", "another"), f"serves {MODEL}, not another"),
        (("--api-key", "wrong"), "answers 401"),
        (("--images", "/no/such/folder"), "no images in /no/such/folder"),
    ],
)
def test_what_cannot_be_measured_ends_with_status_2(
    run: Run, words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert told in error
    assert not (tmp_path / "out").exists()


def test_results_have_the_keys_of_vllms_own_benchmark(
    run: Run, server: Server, checkpoint: Path, tmp_path: Path
) -> None:
    """The command is that of docs/loadtest.md, started as a module: the CPU build has no working `vllm` command."""
    program = """
import argparse
from vllm.benchmarks.serve import add_cli_args, main
parser = argparse.ArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""
    words = (
        *("--backend", "openai-chat", "--base-url", server.url, "--endpoint", "/v1/chat/completions"),
        *("--model", MODEL, "--tokenizer", str(checkpoint), "--dataset-name", "random-mm", "--num-prompts", "4"),
        *("--random-input-len", "8", "--random-output-len", "4", "--random-mm-base-items-per-request", "1"),
        *("--random-mm-limit-mm-per-prompt", '{"image": 1, "video": 0}'),
        *("--random-mm-bucket-config", "{(112, 112, 1): 1.0}", "--max-concurrency", "2", "--temperature", "0"),
        *("--extra-body", '{"prune_ratio": 0.7}', "--goodput", "ttft:60000", "--save-result", "--save-detailed"),
        *("--percentile-metrics", "ttft,tpot,itl,e2el,client_queue_time"),
        *("--result-dir", str(tmp_path), "--result-filename", "theirs.json"),
    )
    environment = os.environ | {"OPENAI_API_KEY": API_KEY, "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", program, *words], env=environment, check=True, timeout=300)
    theirs = json.loads((tmp_path / "theirs.json").read_text())
    assert run("--ratios", "0.7", "--concurrency", "2", "--slo", "ttft:60000") == 0
    (ours,) = results(tmp_path).values()
    assert theirs["completed"] == 4
    assert set(theirs) - set(ours) == {"rtfx"}  # of speech
    shared = set(theirs) & set(ours)
    assert {name for name in shared if type(theirs[name]) is not type(ours[name])} <= {"tokenizer_id"}
    assert main(["compare", str(tmp_path / "theirs.json"), str(tmp_path / "theirs.json")]) == 0
