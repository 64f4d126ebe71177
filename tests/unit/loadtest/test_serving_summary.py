"""Rounds come to rows, and rows to verdicts."""

import pytest

from loadtest.arrival import Arrival, ClosedLoop, Poisson
from loadtest.cell import Cell
from loadtest.result import Measurement
from loadtest.serving.aims import judge
from loadtest.serving.cache import Capacity
from loadtest.serving.report import Report
from loadtest.serving.rounds import Taken, Variant, variants
from loadtest.serving.servers import OURS, STOCK
from loadtest.serving.summary import Row, Spread, summarise
from tests.unit.loadtest.answers import answered

LOOP = ClosedLoop(4)


def taken(number: int, ratio: float | None, seconds: float, arrival: Arrival = LOOP) -> Taken:
    """A measurement of two requests that took so long, a tenth of it until their first tokens."""
    variant = Variant(STOCK if ratio is None else OURS, (ratio,))
    answers = [answered(0.0, seconds / 10, 0.1, prompt_tokens=100 if ratio is None else 40) for _ in range(2)]
    return Taken(number, variant, Measurement(Cell((ratio,), arrival), answers, seconds), 0.25 + number / 100)


def rows(stock: list[float], ours: list[float], arrival: Arrival = LOOP) -> list[Row]:
    """Rows of rounds in which both took these seconds."""
    rounds = enumerate(zip(stock, ours, strict=True))
    return summarise(
        [each for n, (a, b) in rounds for each in (taken(n, None, a, arrival), taken(n, 0.7, b, arrival))], "m"
    )


def test_gains_are_against_stock_in_the_same_round() -> None:
    stock, pruned = rows([2.0, 4.0, 8.0], [1.0, 1.0, 5.0])
    assert (stock.variant, pruned.variant) == (STOCK, "0.7")
    assert stock.throughput_gain == Spread(1, 1, 1)
    assert pruned.throughput_gain == Spread(2.0, pytest.approx(1.6), 4.0)
    assert pruned.ttft_gain.median == pytest.approx(2.0)
    assert pruned.throughput == Spread(2.0, 0.4, 2.0)
    assert pruned.result["request_throughput"] == pytest.approx(6 / 7)  # of all rounds together
    assert pruned.result["completed"] == 6
    assert pruned.cache_use == pytest.approx(0.27)
    assert "ttfts" not in pruned.result


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
    (judgement,) = judge(rows([1.0, 1.0], [0.5, 0.5], Poisson(2)))
    assert (judgement.aim, judgement.gain) == ("not slower than stock", pytest.approx(2.0))


def test_prompts_fill_whole_blocks() -> None:
    capacity = Capacity(blocks=10, block_size=16)
    assert capacity.tokens == 160
    assert [capacity.prompts(tokens) for tokens in (16, 17, 80, 160, 161)] == [10, 5, 2, 1, 0]


def test_the_report_tells_how_many_images_fit() -> None:
    capacities = {STOCK: Capacity(100, 16), OURS: Capacity(200, 16)}
    report = Report("the command", "How.", rows([2.0], [1.0]), capacities, 16)
    assert report.as_json()["concurrent_images"] == [
        {"variant": STOCK, "prompt_tokens": 100, "images": 12},
        {"variant": "0.7", "prompt_tokens": 40, "images": 50},
    ]
    text = report.as_markdown()
    assert "| stock | 100 | 12 |" in text
    assert "| 70 % | 40 | 50 |" in text
    assert "| not slower than stock | 0.7 | concurrency 4 | met | 2.00 |" in text


def test_all_ratios_are_measured_mixed_too() -> None:
    assert [variant.name for variant in variants((0.0, 0.7))] == [STOCK, "0", "0.7", "mixed"]
    assert [variant.name for variant in variants((0.7,))] == [STOCK, "0.7"]
