"""`vllm bench serve` measures what we ask, and what it takes for an answer though it is none is found out."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from loadtest.__main__ import main
from loadtest.cell import Arrival, Cell, closed_loop, poisson
from loadtest.driver import CUT_OFF, Driver
from loadtest.failure import LoadTestError
from loadtest.gates import METRICS, STATISTICS, faults
from loadtest.images import generated
from loadtest.target import reach
from loadtest.workload import PROMPTS, Workload
from tests.unit.loadtest.made import BROKEN, TOKEN, USAGE, Fake, serving

QUICK = ("--requests", "4", "--size", "8x8", "--concurrency", "2")


def driver(fake: Fake) -> Driver:
    source = random.Random(0)
    workload = Workload(generated((8, 8), source), 5)
    return Driver(reach(fake.url, "key"), workload, 6, source, {"seed": 1}, {"ttft": 60000})


@pytest.mark.parametrize("arrival", [closed_loop(2), poisson(100)])
async def test_ratios_are_mixed_equally_over_new_images(arrival: Arrival) -> None:
    with serving(Fake()) as fake:
        result = await driver(fake).measure(Cell((None, 0.0, 0.7), arrival))
    warm_up, *bodies = fake.bodies
    assert "stream" not in warm_up
    assert Counter(body.get("prune_ratio") for body in bodies) == {None: 2, 0.0: 2, 0.7: 2}
    assert Counter(result["prune_ratios"]) == {None: 2, 0.0: 2, 0.7: 2}
    assert {(body["temperature"], body["seed"], body["max_completion_tokens"]) for body in bodies} == {(0, 1, 5)}
    images = [body["messages"][0]["content"][0]["image_url"]["url"] for body in fake.bodies]
    assert len(set(images)) == 7
    assert Counter(body["messages"][0]["content"][1]["text"] for body in bodies) == dict.fromkeys(PROMPTS, 2)
    assert (result["completed"], result["failed"], result["goodput_share"]) == (6, 0, 1)
    assert (result["visual_tokens_input"], result["visual_tokens_kept"]) == (100, 25)
    assert {f"{statistic}_{metric}_ms" for statistic in STATISTICS for metric in METRICS} <= set(result)
    assert faults([result]) == []


@pytest.mark.parametrize("chunks", [(TOKEN, BROKEN), (TOKEN,)])
async def test_an_answer_without_its_end_has_failed(chunks: tuple[object, ...]) -> None:
    with serving(Fake(chunks=chunks)) as fake:
        result = await driver(fake).measure(Cell((None,), closed_loop(2)))
    assert (result["completed"], result["failures"]) == (0, {CUT_OFF: 6})


@pytest.mark.parametrize(("kept", "told"), [(None, "did not rise"), (1.0, "says that all 100 stayed")])
async def test_pruning_that_nothing_proves_is_a_fault(kept: float | None, told: str) -> None:
    with serving(Fake(kept=kept)) as fake:
        pruned, whole = [await driver(fake).measure(Cell((ratio,), closed_loop(2))) for ratio in (0.7, 0.0)]
    assert [told in fault for fault in faults([pruned, whole])] == [True]


async def test_a_refusal_is_told_in_the_servers_words() -> None:
    with serving(Fake(status=503)) as fake, pytest.raises(LoadTestError, match=r"ratio-0.5_rate-2: .*503.*no room"):
        await driver(fake).measure(Cell((0.5,), poisson(2)))


def test_a_server_that_dies_leaves_the_cells_that_were_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Dying(Fake):
        def metrics(self) -> str:
            self.status = 500 if len(self.bodies) > 4 else 200
            return super().metrics()

    with serving(Dying(chunks=(TOKEN, USAGE))) as fake:
        words = ("--url", fake.url, "--output", str(tmp_path / "out"), *QUICK, "--ratios", "none,0.7")
        assert main(words) == 1
    assert [file.name for file in (tmp_path / "out").glob("ratio-*")] == ["ratio-none_concurrency-2.json"]
    assert not json.loads((tmp_path / "out" / "report.json").read_text())["passed"]
    assert "ratio-0.7_concurrency-2: Error code: 500" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--url", "http://127.0.0.1:9"), "no models are listed at http://127.0.0.1:9"),
        (("--model", "another"), "serves tiny, not another"),
    ],
)
def test_nothing_to_measure_ends_with_status_2(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with serving(Fake()) as fake:
        assert main(["--url", fake.url, "--output", str(tmp_path / "out"), *QUICK, *words]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
