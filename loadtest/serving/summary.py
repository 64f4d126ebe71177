"""What the rounds came to: a row for each variant under each pattern of arrivals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import median
from typing import Any

import numpy as np

from loadtest.gates import Result
from loadtest.servers import STOCK
from loadtest.serving.rounds import Taken


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of the rounds, and the least and the most of them."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of values."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Row:
    """A variant under a pattern of arrivals.

    Attributes:
        result: of the requests of all rounds together, by the names of `vllm bench serve`.
        throughput: requests a second.
        throughput_gain: against stock in the same round.
        ttft_gain: stock's median time to first token over this one's, in the same round.
        cache_use: the largest share of the KV cache seen in use.
        closed: whether requests came in a closed loop. Where they come at a rate, that is the throughput.
    """

    variant: str
    result: Result
    throughput: Spread
    throughput_gain: Spread
    ttft_gain: Spread
    cache_use: float
    closed: bool

    @property
    def arrival(self) -> str:
        """The pattern's name."""
        return str(self.result["arrival"])

    @property
    def gain(self) -> Spread:
        """By what to judge whether it is faster than stock."""
        return self.throughput_gain if self.closed else self.ttft_gain


def summarise(taken: Sequence[Taken]) -> list[Row]:
    """All rows, in the order in which they were first measured."""
    cells = dict.fromkeys((each.variant.name, each.arrival.name) for each in taken)
    return [_row([each for each in taken if (each.variant.name, each.arrival.name) == cell], taken) for cell in cells]


def _row(own: Sequence[Taken], taken: Sequence[Taken]) -> Row:
    arrival = own[0].arrival
    stock = {each.number: each.result for each in taken if each.variant.server == STOCK and each.arrival == arrival}
    return Row(
        variant=own[0].variant.name,
        result=pooled([each.result for each in own]),
        throughput=Spread.of([each.result["request_throughput"] for each in own]),
        throughput_gain=Spread.of(gains(own, stock, "request_throughput")),
        ttft_gain=Spread.of([1 / gain for gain in gains(own, stock, "median_ttft_ms")]),
        cache_use=max(each.cache_use for each in own),
        closed=arrival.closed,
    )


def gains(own: Sequence[Taken], stock: Mapping[int, Result], figure: str) -> list[float]:
    """A figure over stock's in the same round, for each round."""
    return [each.result[figure] / stock[each.number][figure] for each in own]


def pooled(results: Sequence[Result]) -> Result:
    """The figures of several measurements of one cell, of which no request failed, as if they were one."""
    total = {key: sum(result[key] for result in results) for key in ("completed", "failed", "duration")}
    tokens = {f"total_{kind}_tokens": _sum(results, f"{kind}_lens") for kind in ("input", "output")}
    samples: dict[str, list[float]] = {
        "ttft": [*chain.from_iterable(result["ttfts"] for result in results)],
        "tpot": [*chain.from_iterable(map(_tpots, results))],
        "e2el": [*chain.from_iterable(result["latencies"] for result in results)],
    }
    latencies = {
        f"{name}_{metric}_ms": float(np.percentile(values, percentile)) * 1000 if values else None
        for metric, values in samples.items()
        for name, percentile in (("median", 50), ("p99", 99))
    }
    same = {key: results[0][key] for key in ("model_id", "arrival", "prune_ratio")}
    visual = {key: _mean(results, key) for key in ("visual_tokens_input", "visual_tokens_kept")}
    return {
        **same,
        **total,
        "request_throughput": total["completed"] / total["duration"],
        **tokens,
        **visual,
        **latencies,
    }


def _tpots(result: Result) -> list[float]:
    rows: Any = zip(result["latencies"], result["ttfts"], result["output_lens"], strict=True)
    return [(latency - ttft) / (length - 1) for latency, ttft, length in rows if length > 1]


def _sum(results: Sequence[Result], key: str) -> int:
    return sum(map(sum, (result[key] for result in results)))


def _mean(results: Sequence[Result], key: str) -> float | None:
    """The mean over equally large measurements; None if none has it."""
    values = [result[key] for result in results if result[key] is not None]
    return sum(values) / len(values) if values else None
