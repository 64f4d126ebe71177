"""Load tests of real servers: what they write, and how they end when something is wrong."""

import json
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from loadtest.__main__ import main
from tests.support.servers import API_KEY, MODEL, Server

QUICK = ("--requests", "4", "--size", "112x112", "--max-tokens", "3", "--extra-body", '{"ignore_eos": true}')
Run = Callable[..., int]


@pytest.fixture
def run(server: Server, tmp_path: Path) -> Run:
    """Runs a load test of the server, or of another URL, and returns the exit status."""

    def start(*words: str, url: str = server.url) -> int:
        return main(["--url", url, "--output", str(tmp_path / "out"), "--api-key", API_KEY, *QUICK, *words])

    return start


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """What each cell came to."""
    return {file.stem: json.loads(file.read_text()) for file in (folder / "out").glob("ratio-*.json")}


def test_each_cell_is_measured_and_a_run_compares_with_itself(
    run: Run, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hits = server.total("vllm:mm_cache_hits_total")
    words = ("--concurrency", "2", "--rate", "50", "--slo", "ttft:60000")
    assert run("--ratios", "0,0.7", "--mixed", *words) == 0
    assert server.total("vllm:mm_cache_hits_total") == hits  # no image was known
    cells = results(tmp_path)
    assert set(cells) == {
        f"ratio-{ratio}_{arrival}" for ratio in ("0", "0.7", "mixed") for arrival in ("concurrency-2", "rate-50")
    }
    for name, cell in cells.items():
        assert (cell["completed"], cell["failed"], cell["output_lens"]) == (4, 0, [3] * 4)
        assert cell["request_goodput"] == cell["request_throughput"]
        assert (cell["visual_tokens_input"] > cell["visual_tokens_kept"]) is not name.startswith("ratio-0_")
        assert 0 < cell["median_ttft_ms"] <= cell["p99_ttft_ms"] <= cell["p99_e2el_ms"]
    assert Counter(cells["ratio-mixed_concurrency-2"]["prune_ratios"]) == {0.0: 2, 0.7: 2}
    assert (tmp_path / "out" / "report.md").read_text().count("| concurrency 2 |") == 3
    with Image.open(tmp_path / "out" / "report.png") as plot:
        assert plot.width > plot.height > 300
    folder = str(tmp_path / "out")
    assert main(["compare", folder, folder, "--fail-slower", "0.1"]) == 0
    assert "| ratio mixed, rate 50 | median_ttft_ms |" in capsys.readouterr().out


def test_a_server_that_ignores_the_ratio_is_found_out(
    run: Run, stock_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--ratios", "none,0.7", "--concurrency", "2", url=stock_server.url) == 1
    told = [line for line in capsys.readouterr().out.splitlines() if "nothing proves it" in line]
    assert [line.partition(":")[0] for line in told] == ["ratio 0.7, concurrency 2"]


def test_a_missed_gate_and_a_refused_ratio_end_with_status_1(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--slo", "ttft:0", "--fail-under", "request_goodput=0.001", "--fail-over", "p99_ttft_ms=0.001")
    assert run("--concurrency", "2", "--ratios", "0,1.5", *words) == 1
    printed = capsys.readouterr().out
    assert "request_goodput is 0, at least 0.001 was asked for" in printed
    assert "p99_ttft_ms is" in printed
    assert "prune_ratio must be a number in [0, 1), got 1.5" in printed
    assert set(results(tmp_path)) == {"ratio-0_concurrency-2"}


@pytest.mark.parametrize(
    ("words", "told"), [(("--ratios", "1.5"), "prune_ratio must be"), (("--api-key", "no"), "401")]
)
def test_nothing_measured_ends_with_status_2(
    run: Run, words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(*words) == 2
    assert told in capsys.readouterr().err
    assert not results(tmp_path)


def test_vllms_own_benchmark_prunes_too_and_its_results_compare_with_ours(
    run: Run, server: Server, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the words of docs/loadtest.md."""
    from vllm.benchmarks import serve

    monkeypatch.setenv("OPENAI_API_KEY", API_KEY)
    monkeypatch.setattr(serve, "freeze_gc_heap", lambda: None)  # the heap of the tests lives on
    words = (
        *("--backend", "openai-chat", "--base-url", server.url, "--endpoint", "/v1/chat/completions"),
        *("--model", MODEL, "--tokenizer", str(checkpoint), "--dataset-name", "random-mm", "--num-prompts", "4"),
        *("--random-input-len", "8", "--random-output-len", "4", "--random-mm-base-items-per-request", "1"),
        *("--random-mm-limit-mm-per-prompt", '{"image": 1, "video": 0}'),
        *("--random-mm-bucket-config", "{(112, 112, 1): 1.0}", "--max-concurrency", "2", "--temperature", "0"),
        *("--extra-body", '{"prune_ratio": 0.7}', "--save-result", "--save-detailed"),
        *("--percentile-metrics", "ttft,tpot,itl,e2el"),
        *("--result-dir", str(tmp_path), "--result-filename", "theirs.json", "--ready-check-timeout-sec", "0"),
    )
    parser = ArgumentParser()
    serve.add_cli_args(parser)
    assert serve.main(parser.parse_args(words))["completed"] == 4
    assert run("--ratios", "none", "--concurrency", "2") == 0
    theirs, ours = json.loads((tmp_path / "theirs.json").read_text()), results(tmp_path)["ratio-none_concurrency-2"]
    assert set(theirs) - set(ours) <= {"backend", "endpoint_type", "label", "tokenizer_id", "burstiness"}
    assert main(["compare", str(tmp_path / "theirs.json"), str(tmp_path / "out")]) == 0
