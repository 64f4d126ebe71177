"""The serving benchmark in its smallest form: both servers are started, measured, and stopped."""

import json
import random
from pathlib import Path

import psutil
import pytest
from PIL import Image

from evaluation.failure import EvaluationError
from loadtest.arrival import ClosedLoop
from loadtest.serving.__main__ import main
from loadtest.serving.rounds import Benchmark, Variant
from loadtest.serving.servers import OURS
from loadtest.target import Target
from tests.support.servers import API_KEY, MODEL, Server


async def test_a_request_that_fails_ends_the_benchmark(server: Server) -> None:
    async with Target(server.url, API_KEY) as target:
        benchmark = Benchmark(
            targets={OURS: target},
            models={OURS: MODEL},
            variants=[Variant(OURS, (1.5,))],
            arrivals=[ClosedLoop(1)],
            requests=1,
            rounds=1,
            size=(80, 80),
            max_tokens=4,
            source=random.Random(0),
        )
        with pytest.raises(EvaluationError, match=r"\(1\.5, concurrency-2\): 400: prune_ratio must be"):
            await benchmark.run()


def test_the_benchmark_measures_both_servers(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (
        "--model",
        str(checkpoint),
        "--ratios",
        "0,0.7",
        "--concurrency",
        "2",
        "--rates",
        "20",
        "--size",
        "224x224",
    )
    server = ("--server-arguments", "--dtype float32 --max-model-len 2048")
    status = main(["--output", str(tmp_path), *words, *server, "--requests", "4", "--rounds", "2", "--max-tokens", "4"])
    assert status == 0, capsys.readouterr().err
    report = json.loads((tmp_path / "serving.json").read_text())
    assert [(row["variant"], row["result"]["arrival"]) for row in report["rows"]] == [
        (variant, arrival) for arrival in ("concurrency-2", "rate-20") for variant in ("stock", "0", "0.7", "mixed")
    ]
    assert {row["result"]["completed"] for row in report["rows"]} == {8}
    assert {row["result"]["failed"] for row in report["rows"]} == {0}
    images = {row["variant"]: row for row in report["concurrent_images"]}
    assert images["stock"]["prompt_tokens"] == images["0"]["prompt_tokens"] > images["0.7"]["prompt_tokens"]
    assert images["0.7"]["images"] > images["stock"]["images"] > 0
    assert len(report["aims"]) == 7
    assert "not slower than stock" in (tmp_path / "serving.md").read_text()
    with Image.open(tmp_path / "serving.png") as plot:
        assert plot.width > plot.height
    assert "Loaded endpoint plugin gprune" in (tmp_path / "gprune.log").read_text()
    assert "Loaded endpoint plugin" not in (tmp_path / "stock.log").read_text()
    assert {row["result"]["visual_tokens_input"] for row in report["rows"] if row["variant"] == "stock"} == {None}
    assert not [child for child in psutil.Process().children() if "api_server" in " ".join(child.cmdline())]
