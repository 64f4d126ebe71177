"""Gates pass what is within their bounds, and nothing else."""

from argparse import ArgumentTypeError

import pytest

from loadtest.gates import faults, gate_over, gate_under
from tests.unit.loadtest.answers import ANSWERS, answered, failed, result

WHOLE = result(*[answer for answer in ANSWERS if answer.succeeded], ttft=800)  # 1/s; time to first token 0.2 to 1.5 s


@pytest.mark.parametrize(
    ("gate", "passes"),
    [
        (gate_over("p99_ttft_ms=1600"), True),
        (gate_over("p99_ttft_ms=1400"), False),
        (gate_over("failed=0"), True),
        (gate_under("request_throughput=1"), True),
        (gate_under("request_throughput=1.01"), False),
        (gate_under("request_goodput=0.5"), True),
        (gate_under("goodput_share=0.51"), False),
    ],
)
def test_bounds_hold_where_they_lie(gate: object, passes: bool) -> None:
    assert (faults([WHOLE], [gate]) == []) is passes  # type: ignore[list-item]


def test_a_miss_names_the_cell_and_both_values() -> None:
    (told,) = faults([WHOLE], [gate_over("median_ttft_ms=100")])
    assert told == "ratio 0.7, concurrency 2: median_ttft_ms is 700, at most 100 was asked for"


def test_a_gate_on_what_was_not_measured_is_missed() -> None:
    (told,) = faults([result(answered(1.0, 0.5))], [gate_over("p99_itl_ms=1000")])
    assert "p99_itl_ms was not measured" in told


def test_failures_are_faults_without_any_gate() -> None:
    assert faults([result(answered(1.0, 0.5), failed(2.0), failed(2.0))], []) == [
        "ratio 0.7, concurrency 2: 2 of 3 requests failed: 503: full"
    ]


@pytest.mark.parametrize("text", ["p99_ttft=1", "p99_ttft_ms", "p99_ttft_ms=fast", "ttfts=1", ""])
def test_what_is_no_bound_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        gate_over(text)
