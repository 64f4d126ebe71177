"""Rounds come to rows, and rows to verdicts."""

import json
from pathlib import Path

import pytest

from loadtest.cell import Arrival, closed_loop, poisson
from loadtest.gates import Result
from loadtest.servers import OURS, STOCK
from loadtest.serving.report import report
from loadtest.serving.rounds import variants
from loadtest.serving.summary import Row, judge, summarise
from tests.unit.loadtest.made import result

LOOP = closed_loop(4)


def taken(number: int, ratio: float | None, seconds: float, arrival: Arrival) -> Result:
    """A measurement of two requests that took so long, a tenth of it until their first tokens."""
    variant = STOCK if ratio is None else "0.7"
    tokens = {"total_input_tokens": 200 if ratio is None else 80, "total_output_tokens": 6}
    own = {
        "round": number,
        "variant": variant,
        "cache_use": 0.25 + number / 100,
        "max_concurrency": arrival.concurrency,
    }
    return result([seconds / 10] * 2, ratio, seconds, arrival.name, **own, **tokens)


def rows(stock: list[float], ours: list[float], arrival: Arrival = LOOP) -> list[Row]:
    """Rows of rounds in which both took these seconds."""
    rounds = enumerate(zip(stock, ours, strict=True))
    return summarise([each for n, (a, b) in rounds for each in (taken(n, None, a, arrival), taken(n, 0.7, b, arrival))])


def test_gains_are_against_stock_in_the_same_round() -> None:
    stock, pruned = rows([2.0, 4.0, 8.0], [1.0, 1.0, 5.0])
    assert (stock["variant"], pruned["variant"]) == (STOCK, "0.7")
    assert stock["throughput_gain"] == {"median": 1, "least": 1, "most": 1}
    assert pruned["throughput_gain"] == pytest.approx({"median": 2.0, "least": 1.6, "most": 4.0})
    assert pruned["ttft_gain"]["median"] == pytest.approx(2.0)
    assert pruned["throughput"] == {"median": 2.0, "least": 0.4, "most": 2.0}
    assert (pruned["result"]["completed"], pruned["result"]["median_ttft_ms"]) == (6, pytest.approx(100))
    assert pruned["cache_use"] == pytest.approx(0.27)


@pytest.mark.parametrize(
    ("ours", "slower", "paper"),
    [
        ([1.0, 1.0, 1.0], "met", "missed"),
        ([0.4, 0.4, 0.4], "met", "met"),
        ([0.4, 0.6, 0.6], "met", "within the spread"),
        ([1.1, 1.1, 0.9], "within the spread", "missed"),
        ([1.1, 1.1, 1.1], "missed", "missed"),
    ],
)
def test_aims_are_judged_by_the_rounds(ours: list[float], slower: str, paper: str) -> None:
    verdicts = {each["aim"]: each["verdict"] for each in judge(rows([1.0, 1.0, 1.0], ours))}
    assert verdicts == {"not slower than stock": slower, "at least 2.09 times stock's throughput": paper}


def test_at_a_fixed_rate_the_time_to_first_token_is_judged() -> None:
    (judgement,) = judge(rows([1.0, 1.0], [0.5, 0.5], poisson(2)))
    assert (judgement["aim"], judgement["gain"]) == ("not slower than stock", pytest.approx(2.0))


def test_the_report_tells_how_many_images_fit_in_whole_blocks(tmp_path: Path) -> None:
    capacities = {STOCK: (100, 16), OURS: (200, 16)}
    text = report(tmp_path, "the command", "How.", rows([2.0], [1.0]), capacities, 16)
    assert json.loads((tmp_path / "serving.json").read_text())["concurrent_images"] == [
        {"variant": STOCK, "prompt_tokens": 100, "images": 12},
        {"variant": "0.7", "prompt_tokens": 40, "images": 50},
    ]
    assert "| stock | 100 | 12 |" in text
    assert "| not slower than stock | 0.7 | concurrency-4 | 2.00 | met |" in text


def test_all_ratios_are_measured_mixed_too() -> None:
    assert list(variants((0.0, 0.7))) == [STOCK, "0", "0.7", "mixed"]
    assert list(variants((0.7,))) == [STOCK, "0.7"]
