"""The proof proves only what it saw."""

import json
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from loadtest.answer import Answer
from loadtest.arrival import Poisson
from loadtest.cell import Cell
from loadtest.overload.__main__ import ask, parser
from loadtest.overload.course import Course
from loadtest.overload.report import Report
from loadtest.overload.verdict import ADAPTIVE, FIXED, Load, faults, within
from loadtest.overload.watching import Look, look_at
from loadtest.result import Measurement
from tests.support.servers import API_KEY, Server

LOAD = Load(alone=1.0, capacity=1.0, rate=1.4, objective=5.0)
METRICS = """\
# TYPE gprune_adaptive_prune_ratio gauge
gprune_adaptive_prune_ratio 0.35
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0"} 3.0
vllm:num_requests_waiting{engine="1"} 2.0
"""


def answer(start: float, ttft: float, kept: int = 100) -> Answer:
    return Answer(start, start, times=[start + ttft], visual_input=100, visual_kept=kept)


def course(policy: str, waits: Sequence[float], ratios: Sequence[float], after: Answer | None = None) -> Course:
    """A burst whose requests come a second apart, as the looks do; the burst ends with the fourth second."""
    answers = [answer(10.0 + number, wait) for number, wait in enumerate(waits)]
    looks = [Look(10.0 + number, ratio, 2.0 * number) for number, ratio in enumerate(ratios)]
    burst = Measurement(Cell((None,), Poisson(1.4)), answers, 4.0, 10.0)
    return Course(policy, burst, looks, 14.0, after or answer(20.0, 1.0))


PROVEN = {
    FIXED: course(FIXED, (1, 4, 8, 12), (0, 0, 0, 0, 0, 0)),
    ADAPTIVE: course(ADAPTIVE, (1, 2, 3, 4), (0, 0.35, 0.7, 0.7, 0.7, 0.35, 0)),
}


def test_what_was_to_be_proven_passes() -> None:
    assert faults(PROVEN, LOAD) == []
    assert PROVEN[ADAPTIVE].recovery == 2
    assert PROVEN[FIXED].recovery == 0
    assert (within(PROVEN[FIXED], LOAD), within(PROVEN[ADAPTIVE], LOAD)) == (0.5, 1)


ADAPTED = PROVEN[ADAPTIVE]
UNPROVEN: dict[str, tuple[dict[str, Course], Load, str]] = {
    "no overload": (PROVEN, replace(LOAD, rate=0.9), "the rate is one that unpruned serving sustains"),
    "no need": (PROVEN | {FIXED: course(FIXED, (1, 1), (0, 0, 0, 0, 0))}, LOAD, "ratio 0 met the objective as well"),
    "too late": (PROVEN | {ADAPTIVE: course(ADAPTIVE, (1, 9, 9), (0, 0.7, 0, 0, 0))}, LOAD, "p90 of 9.0 s misses"),
    "no rise": (PROVEN | {ADAPTIVE: course(ADAPTIVE, (1, 2), (0, 0, 0, 0, 0))}, LOAD, "the ratio never rose"),
    "no return": (PROVEN | {ADAPTIVE: course(ADAPTIVE, (1, 2), (0, 0.7, 0.7, 0, 0.7))}, LOAD, "did not return to 0"),
    "still pruned": (PROVEN | {ADAPTIVE: replace(ADAPTED, after=answer(20, 1, 50))}, LOAD, "a request after the burst"),
    "no answer": (PROVEN | {ADAPTIVE: replace(ADAPTED, after=Answer(20, 20, error="503"))}, LOAD, "after the burst"),
}


@pytest.mark.parametrize("name", UNPROVEN)
def test_what_was_not_proven_is_told(name: str) -> None:
    courses, load, told = UNPROVEN[name]
    (found,) = faults(courses, load)
    assert told in found


def test_a_look_reads_the_ratio_and_all_queues() -> None:
    assert look_at(METRICS, 7.0) == Look(7.0, 0.35, 5.0)
    assert look_at("", 7.0) == Look(7.0, 0.0, 0.0)


def test_a_report_has_the_figures_a_table_and_a_plot(tmp_path: Path) -> None:
    assert Report("the command", "A model.", PROVEN, LOAD).write(tmp_path) == []
    written = json.loads((tmp_path / "overload.json").read_text())
    assert written["passed"]
    assert written["load"] == {"alone": 1, "capacity": 1, "rate": 1.4, "objective": 5}
    adaptive = written["courses"]["adaptive"]
    assert (adaptive["ttft_s"]["p50"], adaptive["in_time"], adaptive["recovery_s"]) == (2.5, 1, 2)
    assert adaptive["looks"][2] == [2.0, 0.7, 4.0]
    text = (tmp_path / "overload.md").read_text()
    assert "Passed." in text
    assert "| adaptive | 4 | 2.5 | 3.7 | 4.0 | 100% | 1 | 100% | 0.7 | 12 | 2 |" in text
    with Image.open(tmp_path / "overload.png") as plot:
        assert plot.size == (800, 580)


def small(tmp_path: Path) -> Namespace:
    words = ("--requests", "6", "--probes", "2", "--size", "112x112", "--max-tokens", "2", "--output", str(tmp_path))
    return parser().parse_args(words)


async def test_a_server_goes_through_the_burst(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", API_KEY)
    load, measured = await ask(server.url, FIXED, small(tmp_path), None)
    assert load.rate == pytest.approx(1.4 * load.capacity)
    assert load.objective == pytest.approx(5 * load.alone)
    assert len(measured.burst.answers) == 6
    assert all(each.visual_kept == each.visual_input for each in [*measured.burst.answers, measured.after])
    assert measured.recovery is not None
    assert {look.ratio for look in measured.looks} == {0}
