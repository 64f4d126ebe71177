"""Rounds come to rows, and rows to verdicts."""

import json
from pathlib import Path

import pytest

from loadtest.cell import Arrival, closed_loop, poisson
from loadtest.servers import OURS, STOCK
from loadtest.serving.aims import judge
from loadtest.serving.cache import Capacity
from loadtest.serving.report import Report
from loadtest.serving.rounds import Taken, Variant, variants
from loadtest.serving.summary import Row, Spread, summarise
from tests.unit.loadtest.made import result

LOOP = closed_loop(4)


def taken(number: int, ratio: float | None, seconds: float, arrival: Arrival) -> Taken:
    """A measurement of two requests that took so long, a tenth of it until their first tokens."""
    variant = Variant(STOCK if ratio is None else OURS, (ratio,))
    lengths = [100 if ratio is None else 40] * 2
    made = result([seconds / 10] * 2, ratio, seconds, arrival.name, input_lens=lengths)
    return Taken(number, variant, arrival, made, 0.25 + number / 100)


def rows(stock: list[float], ours: list[float], arrival: Arrival = LOOP) -> list[Row]:
    """Rows of rounds in which both took these seconds."""
    rounds = enumerate(zip(stock, ours, strict=True))
    return summarise([each for n, (a, b) in rounds for each in (taken(n, None, a, arrival), taken(n, 0.7, b, arrival))])


def test_gains_are_against_stock_in_the_same_round() -> None:
    stock, pruned = rows([2.0, 4.0, 8.0], [1.0, 1.0, 5.0])
    assert (stock.variant, pruned.variant) == (STOCK, "0.7")
    assert stock.throughput_gain == Spread(1, 1, 1)
    assert pruned.throughput_gain == Spread(2.0, pytest.approx(1.6), 4.0)
    assert pruned.ttft_gain.median == pytest.approx(2.0)
    assert pruned.throughput == Spread(2.0, 0.4, 2.0)
    assert pruned.result["request_throughput"] == pytest.approx(6 / 7)  # of all rounds together
    assert pruned.result["completed"] == 6
    assert pruned.result["median_tpot_ms"] == pytest.approx(10)
    assert pruned.cache_use == pytest.approx(0.27)


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
    verdicts = {each.aim: each.verdict for each in judge(rows([1.0, 1.0, 1.0], ours))}
    assert verdicts == {"not slower than stock": slower, "at least 2.09 times stock's throughput": paper}


def test_at_a_fixed_rate_the_time_to_first_token_is_judged() -> None:
    (judgement,) = judge(rows([1.0, 1.0], [0.5, 0.5], poisson(2)))
    assert (judgement.aim, judgement.gain) == ("not slower than stock", pytest.approx(2.0))


def test_prompts_fill_whole_blocks() -> None:
    capacity = Capacity(blocks=10, block_size=16)
    assert capacity.tokens == 160
    assert [capacity.prompts(tokens) for tokens in (16, 17, 80, 160, 161)] == [10, 5, 2, 1, 0]


def test_the_report_tells_how_many_images_fit(tmp_path: Path) -> None:
    capacities = {STOCK: Capacity(100, 16), OURS: Capacity(200, 16)}
    text = Report("the command", "How.", rows([2.0], [1.0]), capacities, 16).write(tmp_path)
    assert json.loads((tmp_path / "serving.json").read_text())["concurrent_images"] == [
        {"variant": STOCK, "prompt_tokens": 100, "images": 12},
        {"variant": "0.7", "prompt_tokens": 40, "images": 50},
    ]
    assert "| stock | 100 | 12 |" in text
    assert "| 70 % | 40 | 50 |" in text
    assert "| not slower than stock | 0.7 | concurrency 4 | met | 2.00 |" in text


def test_all_ratios_are_measured_mixed_too() -> None:
    assert [variant.name for variant in variants((0.0, 0.7))] == [STOCK, "0", "0.7", "mixed"]
    assert [variant.name for variant in variants((0.7,))] == [STOCK, "0.7"]
