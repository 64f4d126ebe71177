"""Verdicts follow from what was measured, and RESULTS.md says what they are."""

import re
from typing import Any

import pytest

from evaluation.commands.results import fill
from evaluation.files import read_json
from loadtest.aims import MEASURED, MET, MISSED, NOT_RUN, RESULTS, WITHIN, aims, markdown, overload, prefill, selectors


def case(speedup: float, most: float, agreement: float = 1.0, device: str = "cpu", dtype: str = "float32") -> Any:
    method = {"speedup": speedup, "speedup_interval": [0.9 * speedup, most]}
    return {"device": device, "tokens": 576, "width": 1024, "dtype": dtype, "agreement": agreement} | {
        "methods": {"gprune": method}
    }


@pytest.mark.parametrize(
    ("speedups", "verdict", "told"),
    [
        (((4.0, 4.1), (9.0, 9.5)), MET, "met in 2 of 2 cases: 4 "),
        (((3.9, 4.1), (9.0, 9.5)), WITHIN, "met in 1 of 2 cases: 3.9 "),
        (((3.0, 3.1), (3.9, 4.1)), MISSED, "met in 0 of 2 cases: 3 "),
    ],
)
def test_an_aim_is_met_where_all_cases_meet_it(
    speedups: tuple[tuple[float, float], ...], verdict: str, told: str
) -> None:
    faster, gpu, _ = selectors("selectors", {"cases": [case(*each) for each in speedups]})
    assert faster.verdict == verdict
    assert faster.measured.startswith(told)
    assert gpu.verdict == NOT_RUN


def test_the_same_tokens_are_asked_for_in_float32_only() -> None:
    cases = [case(5, 5), case(25, 26, agreement=0.9, device="cuda", dtype="bfloat16")]
    _, gpu, same = selectors("selectors", {"cases": cases})
    assert (gpu.verdict, same.verdict) == (MET, MET)
    _, _, same = selectors("selectors", {"cases": [case(5, 5, agreement=0.99)]})
    assert same.verdict == MISSED


@pytest.mark.parametrize(
    ("longer", "low", "verdict"), [(0.009, 0.0, MET), (0.015, 0.005, WITHIN), (0.03, 0.02, MISSED), (-0.2, -0.3, MET)]
)
def test_less_is_better_for_what_is_longer(longer: float, low: float, verdict: str) -> None:
    efficiency = {"value": 0.96, "low": 0.9, "high": 1.0}
    result = {
        "ratios": [{"ratio": 0.0, "efficiency": efficiency}, {"ratio": 0.7, "efficiency": efficiency}],
        "overhead": {"value": longer, "low": low, "high": 2 * abs(longer)},
    }
    pruned, overhead = prefill("prefill", result)
    assert (pruned.verdict, pruned.measured) == (MET, "96.0 % (90.0 % to 100.0 %)")
    assert overhead.verdict == verdict


def test_a_failed_proof_is_missed() -> None:
    courses = {"adaptive": {"ttft_s": {"p90": 3.0}, "recovery_s": None}, "fixed": {"ttft_s": {"p90": 9.0}}}
    (aim,) = overload("overload", {"passed": False, "load": {"objective": 5.0}, "courses": courses})
    assert aim.verdict == MISSED
    assert aim.measured == "p90 of 3.0 s against 9.0 s at ratio 0; objective 5.0 s; never back at 0"


def test_results_say_what_follows_from_what_was_measured() -> None:
    text = RESULTS.read_text()
    assert fill(text, {"aims": markdown(aims())}) == text


def test_the_readme_tells_the_gains_that_were_measured() -> None:
    rows = read_json(MEASURED / "serving-low" / "serving.json")["rows"]
    gains = {
        row["variant"]: f"{row['throughput_gain']['median']:.1f}"
        for row in rows
        if row["result"]["arrival"] == "concurrency-8"
    }
    text = " ".join((RESULTS.parents[1] / "README.md").read_text().split())
    told = "pruning 50, 70 and 90 % gives {0.5}, {0.7} and {0.9} times stock vLLM's requests/s"
    for ratio in ("0.5", "0.7", "0.9"):
        told = told.replace(f"{{{ratio}}}", gains[ratio])
    assert f"{told} in the same rounds, and pruning nothing {gains['0']} times" in text


def test_every_result_is_linked_and_every_link_leads_somewhere() -> None:
    linked = set(re.findall(r"\]\(measured/([\w.-]+)", RESULTS.read_text()))
    assert linked == {folder.name for folder in MEASURED.iterdir()}
