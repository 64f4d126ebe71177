"""Gates pass what is within their bounds, and nothing else."""

from argparse import ArgumentTypeError

import pytest

from loadtest.gates import Gate, faults, gate
from tests.unit.loadtest.made import result

WHOLE = result([0.2, 0.5, 0.9, 1.5], goodput_share=0.5)  # in 4 s


@pytest.mark.parametrize(
    ("bound", "passes"),
    [
        (gate("over", "p99_ttft_ms=1600"), True),
        (gate("over", "p99_ttft_ms=1400"), False),
        (gate("over", "failed=0"), True),
        (gate("under", "request_throughput=1"), True),
        (gate("under", "request_throughput=1.01"), False),
        (gate("under", "goodput_share=0.51"), False),
    ],
)
def test_bounds_hold_where_they_lie(bound: Gate, passes: bool) -> None:
    assert (faults([WHOLE], [bound]) == []) is passes


def test_a_miss_names_the_cell_and_both_values() -> None:
    (told,) = faults([WHOLE], [gate("over", "median_ttft_ms=100")])
    assert told == "ratio 0.7, concurrency 2: median_ttft_ms is 700, at most 100 was asked for"


def test_a_gate_on_a_figure_of_no_answer_is_missed_and_failures_are_faults_without_any() -> None:
    failed = result([1.0, 1.0], completed=0, failures={"503: full": 2}, prune_ratio=0.0, p99_ttft_ms=0.0)
    assert faults([failed], [gate("over", "p99_ttft_ms=1000")]) == [
        "ratio 0, concurrency 2: 2 of 2 requests failed: 503: full",
        "ratio 0, concurrency 2: p99_ttft_ms was not measured, at most 1000 was asked for",
    ]


@pytest.mark.parametrize("text", ["p99_ttft=1", "p99_ttft_ms", "p99_ttft_ms=fast", "ttfts=1", ""])
def test_words_that_are_no_bound_are_refused(text: str) -> None:
    with pytest.raises((ArgumentTypeError, ValueError)):
        gate("over", text)
