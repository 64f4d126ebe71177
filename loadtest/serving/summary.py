"""What the rounds came to: a row for each variant under each pattern of arrivals, and whether it meets the aims."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from loadtest.gates import Result
from loadtest.report import LATENCIES
from loadtest.servers import STOCK

PAPER_GAIN = 2.09
"""The paper's gain in throughput with 70 % of the visual tokens pruned."""
PAPER_RATIO = 0.7
SUMMED = ("completed", "failed", "duration", "total_input_tokens", "total_output_tokens")
SAME = ("model_id", "arrival", "max_concurrency", "prune_ratio", "visual_tokens_input", "visual_tokens_kept")

Row = dict[str, Any]
"""`result` has the medians of the rounds; `throughput`, `throughput_gain` and `ttft_gain`, both against stock in the
same round, have `median`, `least` and `most`."""


def summarise(taken: Sequence[Result]) -> list[Row]:
    """All rows, in the order in which they were first measured."""
    cells = dict.fromkeys((each["variant"], each["arrival"]) for each in taken)
    return [_row([each for each in taken if (each["variant"], each["arrival"]) == cell], taken) for cell in cells]


def _row(own: Sequence[Result], taken: Sequence[Result]) -> Row:
    same = [each for each in taken if each["variant"] == STOCK and each["arrival"] == own[0]["arrival"]]
    stock = {each["round"]: each for each in same}
    return {
        "variant": own[0]["variant"],
        "result": {
            **{key: own[0][key] for key in SAME},
            **{key: sum(each[key] for each in own) for key in SUMMED},
            **{
                key: median(each[key] for each in own)
                for key in ("request_throughput", *(key for key, _ in LATENCIES.values()))
            },
        },
        "throughput": spread([each["request_throughput"] for each in own]),
        "throughput_gain": spread(_gains(own, stock, "request_throughput", 1)),
        "ttft_gain": spread(_gains(own, stock, "median_ttft_ms", -1)),
        "cache_use": max(each["cache_use"] for each in own),
    }


def _gains(own: Sequence[Result], stock: Mapping[int, Result], figure: str, power: int) -> list[float]:
    return [(each[figure] / stock[each["round"]][figure]) ** power for each in own]


def spread(values: Sequence[float]) -> dict[str, float]:
    """The median of the rounds, and the least and the most of them."""
    return {"median": median(values), "least": min(values), "most": max(values)}


def judge(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Judge each row by each aim that is for it."""
    ours = [row for row in rows if row["variant"] != STOCK]
    for row in ours:
        yield _judge("not slower than stock", row, 1.0)
    for row in ours:
        if row["result"]["max_concurrency"] and row["result"]["prune_ratio"] == PAPER_RATIO:
            yield _judge(f"at least {PAPER_GAIN} times stock's throughput", row, PAPER_GAIN)


def _judge(aim: str, row: Row, wanted: float) -> dict[str, Any]:
    """An aim that is missed in some rounds but not in all of them is within the spread, unless the median meets it.

    Requests that come at a rate are answered at that rate, so that their time to first token tells.
    """
    gain = row["throughput_gain" if row["result"]["max_concurrency"] else "ttft_gain"]
    verdict = "met" if gain["median"] >= wanted else "within the spread" if gain["most"] >= wanted else "missed"
    told = {"arrival": row["result"]["arrival"], "gain": gain["median"], "verdict": verdict}
    return {"aim": aim, "variant": row["variant"], **told}
