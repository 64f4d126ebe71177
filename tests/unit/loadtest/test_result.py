"""Figures are those that numpy and vLLM find in the same answers."""

import json
from typing import Any

import numpy as np
import pytest
from vllm.benchmarks.lib.endpoint_request_func import RequestFuncOutput
from vllm.benchmarks.serve import calculate_metrics

from loadtest.answer import Answer
from loadtest.result import FIGURES, PERCENTILES
from tests.unit.loadtest.answers import ANSWERS, answered, failed, result

OBJECTIVES = {"ttft": 800.0, "e2el": 2000.0}


def theirs(answer: Answer) -> RequestFuncOutput:
    """An answer as vLLM's benchmark has it."""
    return RequestFuncOutput(
        success=answer.succeeded,
        latency=answer.latency,
        output_tokens=answer.output_tokens,
        ttft=answer.ttft,
        itl=list(answer.itl),
        prompt_len=answer.prompt_tokens,
        start_time=answer.start,
        error=answer.error,
    )


def test_figures_are_those_of_vllm(capsys: pytest.CaptureFixture[str]) -> None:
    outputs = [theirs(answer) for answer in ANSWERS]
    expected, lengths = calculate_metrics([], outputs, 4.0, None, list(PERCENTILES), OBJECTIVES)
    ours = result(**OBJECTIVES)
    for name in (
        *("completed", "failed", "request_throughput", "request_goodput", "output_throughput"),
        *("total_token_throughput", "max_output_tokens_per_s", "max_concurrent_requests"),
        *(f"{kind}_{metric}_ms" for kind in ("mean", "median", "std") for metric in ("ttft", "tpot", "itl", "e2el")),
    ):
        assert ours[name] == pytest.approx(getattr(expected, name)), name
    assert (ours["total_input_tokens"], ours["total_output_tokens"]) == (expected.total_input, expected.total_output)
    assert ours["output_lens"] == lengths
    for metric in ("ttft", "tpot", "itl", "e2el"):
        for percentile, value in getattr(expected, f"percentiles_{metric}_ms"):
            assert ours[f"p{percentile:g}_{metric}_ms"] == pytest.approx(value)


def test_percentiles_are_those_of_numpy() -> None:
    seconds = [0.5, 0.9, 0.2, 1.5]
    assert result()["p95_ttft_ms"] == pytest.approx(np.percentile(seconds, 95) * 1000)
    assert result()["median_ttft_ms"] == pytest.approx(np.median(seconds) * 1000)


def test_failed_requests_are_told_and_enter_no_latency() -> None:
    with_failures = result(*ANSWERS, failed(12.0), failed(12.0, "400: no"))
    without = result(*[answer for answer in ANSWERS if answer.succeeded])
    assert (with_failures["completed"], with_failures["failed"]) == (4, 3)
    assert with_failures["failures"] == {"503: full": 2, "400: no": 1}
    latencies = [name for name in FIGURES if name.endswith("_ms")]
    assert {name: with_failures[name] for name in latencies} == {name: without[name] for name in latencies}
    assert with_failures["request_throughput"] == without["request_throughput"]


def test_goodput_counts_what_meets_all_objectives() -> None:
    assert result(ttft=800)["request_goodput"] == pytest.approx(2 / 4)
    assert result(ttft=950, itl=60)["request_goodput"] == pytest.approx(2 / 4)  # the longest gap counts
    assert result(ttft=950, itl=60)["goodput_share"] == pytest.approx(2 / 5)  # a failure is not good
    assert result()["request_goodput"] is None


def test_what_was_not_measured_is_null() -> None:
    nothing = result(failed(1.0), failed(2.0), ttft=100)
    assert {nothing[f"median_{metric}_ms"] for metric in ("ttft", "tpot", "itl", "e2el")} == {None}
    assert (nothing["completed"], nothing["request_goodput"]) == (0, 0)
    assert result(answered(1.0, 0.5))["p99_itl_ms"] is None


def test_visual_tokens_are_told_where_the_server_tells() -> None:
    assert (result()["visual_tokens_kept"], result()["visual_tokens_input"]) == (24, 80)
    silent: dict[str, Any] = {"visual_input": None, "visual_kept": None}
    assert result(answered(1.0, 0.5, **silent))["visual_tokens_kept"] is None


def test_tokens_that_the_server_does_not_count_are_pieces() -> None:
    assert result(answered(1.0, 0.5, 0.1, 0.1, completion_tokens=None))["total_output_tokens"] == 3


def test_results_are_json_and_have_every_figure() -> None:
    told = json.loads(json.dumps(result(), allow_nan=False))
    assert set(FIGURES) <= set(told)
    assert (told["prune_ratio"], told["max_concurrency"], told["request_rate"]) == (0.7, 2, "inf")
    assert result(ratios=(0.0, 0.7))["prune_ratio"] == "mixed"
