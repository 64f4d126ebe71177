"""The proof of adaptive pruning proves only what it saw."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from loadtest.overload import ADAPTIVE, FIXED, Course, Load, Look, look_at, report, unproven
from tests.unit.loadtest.made import result

LOAD = Load(alone=1.0, capacity=1.0, rate=1.4, objective=5.0)
METRICS = """\
gprune_adaptive_prune_ratio 0.35
vllm:num_requests_waiting{engine="0"} 3.0
vllm:num_requests_waiting{engine="1"} 2.0
"""
WHOLE = result([1.0], None, visual_tokens_kept=80.0)


def course(waits: Sequence[float], ratios: Sequence[float]) -> Course:
    """A burst whose requests come a second apart, as the looks do; it ends with the fourth second."""
    looks = [Look(float(number), ratio, 2.0 * number) for number, ratio in enumerate(ratios)]
    return Course(result(waits, None), looks, 4.0, WHOLE)


PROVEN = {
    FIXED: course((1, 4, 8, 12), (0, 0, 0, 0, 0, 0)),
    ADAPTIVE: course((1, 2, 3, 4), (0, 0.35, 0.7, 0.7, 0.7, 0.35, 0)),
}
ADAPTED = PROVEN[ADAPTIVE]
UNPROVEN: dict[str, tuple[dict[str, Course], Load, str]] = {
    "no overload": (PROVEN, LOAD._replace(rate=0.9), "the rate is one that unpruned serving sustains"),
    "no need": (PROVEN | {FIXED: course((1, 1), (0, 0, 0, 0, 0))}, LOAD, "ratio 0 met the objective as well"),
    "too late": (PROVEN | {ADAPTIVE: course((1, 9, 9), (0, 0.7, 0, 0, 0))}, LOAD, "p90 of 9.0 s misses"),
    "no rise": (PROVEN | {ADAPTIVE: course((1, 2), (0, 0, 0, 0, 0))}, LOAD, "the ratio never rose"),
    "no return": (PROVEN | {ADAPTIVE: course((1, 2), (0, 0.7, 0.7, 0, 0.7))}, LOAD, "did not return to 0"),
    "pruned": (PROVEN | {ADAPTIVE: ADAPTED._replace(after=result([1.0]))}, LOAD, "a request after the burst"),
    "no answer": (PROVEN | {ADAPTIVE: ADAPTED._replace(after=WHOLE | {"completed": 0})}, LOAD, "after the burst"),
}


@pytest.mark.parametrize("name", UNPROVEN)
def test_a_claim_that_does_not_hold_is_told(name: str) -> None:
    courses, load, told = UNPROVEN[name]
    (found,) = unproven(courses, load)
    assert told in found


def test_a_look_reads_the_ratio_and_all_queues() -> None:
    look, nothing = look_at(METRICS), look_at("")
    assert (look.ratio, look.waiting) == (0.35, 5)
    assert (nothing.ratio, nothing.waiting) == (0, 0)


def test_a_report_has_the_figures_a_table_and_a_plot(tmp_path: Path) -> None:
    assert unproven(PROVEN, LOAD) == []
    assert (PROVEN[ADAPTIVE].recovery, PROVEN[FIXED].recovery) == (2, 0)
    text = report("the command", "A model.", PROVEN, LOAD, tmp_path)
    written = json.loads((tmp_path / "overload.json").read_text())
    assert written["passed"]
    adaptive = written["courses"]["adaptive"]
    assert (adaptive["ttft_s"]["p50"], adaptive["recovery_s"]) == (2.5, 2)
    assert "Passed." in text
    assert "| adaptive | 2.5 | 3.7 | 3.97 | 1 | 1 | 0.3 | 0.7 | 12 | 2 |" in text
    assert (tmp_path / "overload.png").stat().st_size > 10_000
