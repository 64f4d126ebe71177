"""Measure a cell with `vllm bench serve`, and prove by the server's own counters that it pruned."""

import random
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from types import SimpleNamespace
from typing import Any

import numpy as np
import openai
from vllm.benchmarks.datasets import SampleRequest
from vllm.benchmarks.serve import TaskType, benchmark

from loadtest.cell import Arrival, Cell
from loadtest.failure import LoadTestError
from loadtest.gates import METRICS, PERCENTILES, Result, faults
from loadtest.target import Target, visual_tokens
from loadtest.workload import Workload

UNUSED = {"logprobs": None, "lora_modules": None, "profile": False, "ignore_eos": False, "num_warmups": 0}
"""What vLLM can do beside. Its warm-up sends the first request of those that are measured: caches then know it."""
CUT_OFF = "the answer ended before its usage, with an error amid it or cut off"


@dataclass(frozen=True, slots=True)
class Driver:
    """Measures cells on one server.

    Attributes:
        requests: in each cell.
        source: of chance.
        fields: further ones of each request, which win over all but the ratio.
        objectives: milliseconds, by latency.
        warm_up: requests before each cell that are not counted. A refusal of one ends the cell, and is told.
    """

    target: Target
    workload: Workload
    requests: int
    source: random.Random
    fields: dict[str, Any]
    objectives: Mapping[str, float] = field(default_factory=dict)
    warm_up: int = 1

    async def measure(self, cell: Cell, seed: int | None = None) -> Result:
        """Measure a cell. All images are made before the clock starts.

        Args:
            seed: of when requests arrive.

        Raises:
            LoadTestError: the server refuses what is asked.
        """
        self._warm_up(cell)
        requests = self.workload.requests(self.requests, cell.ratios, self.source)
        np.random.seed(self.source.getrandbits(32) if seed is None else seed)  # by which vLLM draws times of arrival
        before = visual_tokens(await self.target.metrics())
        measured = await self._benchmark(requests, cell.arrival)
        prompts, *tokens = visual_tokens(await self.target.metrics()) - before
        whole, kept = (float(each / prompts) if prompts else None for each in tokens)
        return {
            "date": time.strftime("%Y%m%d-%H%M%S"),
            "model_id": self.target.model,
            "num_prompts": len(requests),
            "request_rate": cell.arrival.rate if np.isfinite(cell.arrival.rate) else "inf",
            "max_concurrency": cell.arrival.concurrency,
            "prune_ratio": cell.prune_ratio,
            "prune_ratios": [request.request_overrides.get("prune_ratio") for request in requests],
            "arrival": cell.arrival.name,
            "objectives_ms": dict(self.objectives),
            "visual_tokens_input": whole,
            "visual_tokens_kept": kept,
            **_counted(measured),
        }

    async def measure_whole(self, cell: Cell, seed: int | None = None) -> Result:
        """Measure a cell that must be whole.

        Raises:
            LoadTestError: a request failed, or nothing proves that it was pruned.
        """
        result = await self.measure(cell, seed)
        for fault in faults([result]):
            raise LoadTestError(fault)
        return result

    def _warm_up(self, cell: Cell) -> None:
        with self.target.client() as client:
            for request in self.workload.requests(self.warm_up, cell.ratios, self.source):
                limit = {"max_completion_tokens": request.expected_output_len}
                ask = partial(client.chat.completions.create, model=self.target.model)
                try:
                    ask(messages=request.chat_messages, extra_body=limit | self.fields | request.request_overrides)
                except openai.OpenAIError as error:
                    raise LoadTestError(f"{cell.name}: {error}") from error

    async def _benchmark(self, requests: list[SampleRequest], arrival: Arrival) -> dict[str, Any]:
        with redirect_stdout(StringIO()), warnings.catch_warnings():  # a table for each cell would hide ours
            warnings.filterwarnings("ignore", "All requests failed")  # we say so too
            result: dict[str, Any] = await benchmark(
                task_type=TaskType.GENERATION,
                endpoint_type="openai-chat",
                api_url=f"{self.target.url}/v1/chat/completions",
                base_url=self.target.url,
                model_id=self.target.model,
                model_name=self.target.model,
                tokenizer=no_tokens,
                input_requests=requests,
                request_rate=arrival.rate,
                burstiness=1.0,
                max_concurrency=arrival.concurrency,
                extra_headers={"Authorization": f"Bearer {self.target.key}"} if self.target.key else None,
                extra_body={"temperature": 0, **self.fields},
                goodput_config_dict=self.objectives,
                selected_percentile_metrics=METRICS,
                selected_percentiles=PERCENTILES,
                disable_tqdm=False,
                ready_check_timeout_sec=0,
                **UNUSED,
            )
        return result


def no_tokens(text: str, **options: object) -> SimpleNamespace:
    """Stand in for the tokenizer that vLLM asks how long an answer was for which the server's usage is missing.

    It finds no token, so that such an answer can be told from others: vLLM takes an error amid a stream for its end.
    """
    return SimpleNamespace(input_ids=())


def _counted(measured: Mapping[str, Any]) -> Result:
    """What vLLM measured, with answers that were cut off among the failed ones, and each reason in a line."""
    lines: Sequence[str] = [error.strip().rpartition("\n")[2] for error in measured["errors"]]
    errors = [line or ("" if tokens else CUT_OFF) for line, tokens in zip(lines, measured["output_lens"], strict=True)]
    failed, good = sum(map(bool, errors)), measured["request_goodput"]
    return {
        **measured,
        "errors": errors,
        "completed": len(errors) - failed,
        "failed": failed,
        "failures": dict(Counter(filter(None, errors))),
        "goodput_share": None if good is None else round(good * measured["duration"]) / len(errors),
    }
