"""What a measurement came to, in the JSON of `vllm bench serve --save-detailed` with keys of our own beside it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from loadtest.answer import Answer
from loadtest.cell import Cell
from loadtest.objectives import Objectives, meets

Result = dict[str, Any]
METRICS = ("ttft", "tpot", "itl", "e2el", "client_queue_time")
PERCENTILES = (90, 95, 99)
STATISTICS = ("mean", "median", "std", *(f"p{percentile}" for percentile in PERCENTILES))
FIGURES = (
    *("duration", "completed", "failed", "total_input_tokens", "total_output_tokens"),
    *("request_throughput", "request_goodput", "output_throughput", "total_token_throughput"),
    *("max_output_tokens_per_s", "max_concurrent_requests", "goodput_share"),
    *("visual_tokens_input", "visual_tokens_kept"),
    *(f"{statistic}_{metric}_ms" for metric in METRICS for statistic in STATISTICS),
)
"""Keys of numbers, which gates may name."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A cell, measured: its answers, and the seconds from the first request to the last answer."""

    cell: Cell
    answers: Sequence[Answer]
    seconds: float
    began: float = 0.0

    @property
    def whole(self) -> list[Answer]:
        """The answers that did not fail: the only ones that figures are made of."""
        return [answer for answer in self.answers if answer.succeeded]


def result_of(measurement: Measurement, model: str, objectives: Objectives, label: str | None = None) -> Result:
    """The JSON object of a measurement. A figure of which nothing was measured is null."""
    return {
        **_settings(measurement, model, label),
        **_totals(measurement),
        **_goodput(measurement, objectives),
        **_visual_tokens(measurement),
        **_peaks(measurement.whole),
        **_latencies(measurement),
        **_details(measurement),
    }


def _settings(measurement: Measurement, model: str, label: str | None) -> Result:
    cell = measurement.cell
    return {
        "date": datetime.now().strftime("%Y%m%d-%H%M%S"),
        "endpoint_type": "openai-chat",
        "backend": "openai-chat",
        "label": label,
        "model_id": model,
        "tokenizer_id": None,
        "num_prompts": len(measurement.answers),
        **cell.arrival.fields,
        "arrival": cell.arrival.name,
        "prune_ratio": cell.prune_ratio,
    }


def _totals(measurement: Measurement) -> Result:
    whole, seconds = measurement.whole, measurement.seconds
    received = sum(answer.prompt_tokens for answer in whole)
    written = sum(answer.output_tokens for answer in whole)
    return {
        "duration": seconds,
        "completed": len(whole),
        "failed": len(measurement.answers) - len(whole),
        "failures": dict(Counter(answer.error for answer in measurement.answers if answer.error)),
        "total_input_tokens": received,
        "total_output_tokens": written,
        "request_throughput": len(whole) / seconds,
        "output_throughput": written / seconds,
        "total_token_throughput": (received + written) / seconds,
    }


def _goodput(measurement: Measurement, objectives: Objectives) -> Result:
    """Requests a second within the objectives, and their share of all requests."""
    if not objectives:
        return {"request_goodput": None, "goodput_share": None, "objectives_ms": None}
    good = sum(meets(answer, objectives) for answer in measurement.answers)
    return {
        "request_goodput": good / measurement.seconds,
        "goodput_share": good / len(measurement.answers),
        "objectives_ms": dict(objectives),
    }


def _visual_tokens(measurement: Measurement) -> Result:
    """Visual tokens of a request on average, as the server told."""
    told = [answer for answer in measurement.whole if answer.visual_kept is not None]
    return {
        "visual_tokens_input": _mean([answer.visual_input or 0 for answer in told]),
        "visual_tokens_kept": _mean([answer.visual_kept or 0 for answer in told]),
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _peaks(whole: Sequence[Answer]) -> Result:
    """The busiest second: most pieces of text that came in one, and most requests that were in flight in one."""
    if not whole:
        return {"max_output_tokens_per_s": 0.0, "max_concurrent_requests": 0}
    began = min(answer.start for answer in whole)
    pieces = Counter(int(moment - began) for answer in whole for moment in answer.times)
    flying = Counter(
        second
        for answer in whole
        for second in range(int(answer.start - began), int(answer.start + answer.latency - began) + 1)
    )
    return {
        "max_output_tokens_per_s": float(max(pieces.values(), default=0)),
        "max_concurrent_requests": max(flying.values()),
    }


def _latencies(measurement: Measurement) -> Result:
    whole = measurement.whole
    seconds: dict[str, list[float]] = {
        "ttft": [answer.ttft for answer in whole],
        "tpot": [answer.tpot for answer in whole if answer.tpot is not None],
        "itl": [gap for answer in whole for gap in answer.itl],
        "e2el": [answer.latency for answer in whole],
        "client_queue_time": [answer.queue_time for answer in whole],
    }
    return {f"{statistic}_{metric}_ms": value for metric in METRICS for statistic, value in _describe(seconds[metric])}


def _describe(seconds: Sequence[float]) -> list[tuple[str, float | None]]:
    """Each statistic in milliseconds."""
    if not seconds:
        return [(statistic, None) for statistic in STATISTICS]
    milliseconds = np.asarray(seconds) * 1000
    values = [milliseconds.mean(), np.median(milliseconds), milliseconds.std()]
    values += list(np.percentile(milliseconds, PERCENTILES))
    return [(statistic, float(value)) for statistic, value in zip(STATISTICS, values, strict=True)]


def _details(measurement: Measurement) -> Result:
    """A value for each request. Those of failed ones are zeros, as vLLM writes them."""
    answers = measurement.answers
    return {
        "input_lens": [answer.prompt_tokens for answer in answers],
        "output_lens": [answer.output_tokens if answer.succeeded else 0 for answer in answers],
        "ttfts": [answer.ttft if answer.succeeded else 0.0 for answer in answers],
        "itls": [list(answer.itl) if answer.succeeded else [] for answer in answers],
        "latencies": [answer.latency if answer.succeeded else 0.0 for answer in answers],
        "start_times": [answer.start - measurement.began for answer in answers],
        "queue_times": [answer.queue_time for answer in answers],
        "prune_ratios": [answer.prune_ratio for answer in answers],
        "generated_texts": [answer.text for answer in answers],
        "errors": [answer.error for answer in answers],
    }
