"""Measure a cell with `vllm bench serve`, and prove by the server's own counters that it pruned."""

import random
import time
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, field
from io import StringIO
from types import SimpleNamespace
from typing import Any

import numpy as np
import openai
from vllm.benchmarks.datasets import SampleRequest
from vllm.benchmarks.serve import TaskType, benchmark

from loadtest.cell import Arrival, Cell
from loadtest.failure import LoadTestError
from loadtest.gates import METRICS, PERCENTILES, Result, name_of
from loadtest.metrics import VisualTokens, read_metrics
from loadtest.target import Target
from loadtest.workload import Workload, ratio_of

CUT_OFF = "the answer ended before its usage, with an error amid it or cut off"


@dataclass(frozen=True, slots=True)
class Driver:
    """Measures cells on one server.

    Attributes:
        requests: in each cell.
        warm_up: requests before each cell that are not counted. A refusal of one ends the cell, and is told.
        source: of chance.
        fields: further ones of each request, which win over all but the ratio.
        objectives: milliseconds, by latency.
    """

    target: Target
    workload: Workload
    requests: int
    warm_up: int
    source: random.Random
    fields: Mapping[str, Any] = field(default_factory=dict)
    objectives: Mapping[str, float] = field(default_factory=dict)

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
        before = await self._visual_tokens()
        measured = await self._benchmark(requests, cell.arrival)
        tokens = (await self._visual_tokens()).since(before)
        return self._about(cell, requests) | _counted(measured, requests) | _pruning(tokens)

    def _warm_up(self, cell: Cell) -> None:
        """Not vLLM's warm-up: it sends the first request of those that are measured, which is then in every cache."""
        with self.target.client() as client:
            for request in self.workload.requests(self.warm_up, cell.ratios, self.source):
                body = self._body() | (request.request_overrides or {})
                messages: Any = request.chat_messages
                try:
                    client.chat.completions.create(
                        model=self.target.model,
                        messages=messages,
                        max_completion_tokens=self.workload.max_tokens,
                        extra_body=body,
                    )
                except openai.APIStatusError as error:
                    raise LoadTestError(f"{cell.name}: {error.status_code}: {_message(error)}") from error
                except openai.OpenAIError as error:
                    raise LoadTestError(f"{cell.name}: no answer: {error}") from error

    async def _benchmark(self, requests: list[SampleRequest], arrival: Arrival) -> dict[str, Any]:
        first, last = arrival.ramp or (None, None)
        with redirect_stdout(StringIO()), warnings.catch_warnings():  # a table for each cell would hide ours
            warnings.filterwarnings("ignore", "All requests failed")  # we say so too
            result: dict[str, Any] = await benchmark(
                task_type=TaskType.GENERATION,
                endpoint_type="openai-chat",
                api_url=f"{self.target.url}/v1/chat/completions",
                base_url=self.target.url,
                model_id=self.target.model,
                model_name=self.target.model,
                tokenizer=NoTokenizer(),
                input_requests=requests,
                logprobs=None,
                request_rate=arrival.rate,
                burstiness=1.0,
                disable_tqdm=False,
                num_warmups=0,
                profile=False,
                selected_percentile_metrics=[*METRICS],
                selected_percentiles=[*PERCENTILES],
                ignore_eos=False,
                goodput_config_dict=dict(self.objectives),
                max_concurrency=arrival.concurrency,
                lora_modules=None,
                extra_headers={"Authorization": f"Bearer {self.target.key}"} if self.target.key else None,
                extra_body=self._body(),
                ramp_up_strategy="linear" if arrival.ramp else None,
                ramp_up_start_rps=first,
                ramp_up_end_rps=last,
                ready_check_timeout_sec=0,
            )
        return result

    def _body(self) -> dict[str, Any]:
        return {"temperature": 0, **self.fields}

    async def _visual_tokens(self) -> VisualTokens:
        return VisualTokens.of(await read_metrics(self.target.metrics_urls))

    def _about(self, cell: Cell, requests: Sequence[SampleRequest]) -> Result:
        rate = cell.arrival.rate
        return {
            "date": time.strftime("%Y%m%d-%H%M%S"),
            "backend": "openai-chat",
            "model_id": self.target.model,
            "num_prompts": len(requests),
            "request_rate": rate if np.isfinite(rate) else "inf",
            "max_concurrency": cell.arrival.concurrency,
            "prune_ratio": cell.prune_ratio,
            "prune_ratios": [ratio_of(request) for request in requests],
            "arrival": cell.arrival.name,
            "images_per_request": self.workload.images_per_request,
            "objectives_ms": dict(self.objectives),
        }


class NoTokenizer:
    """Stands in for the tokenizer that vLLM asks how long an answer was for which the server's usage is missing.

    It finds no token, so that such an answer can be told from others: vLLM takes an error amid a stream for its end.
    """

    def __call__(self, text: str, **options: object) -> SimpleNamespace:
        return SimpleNamespace(input_ids=())


def _counted(measured: Mapping[str, Any], requests: Sequence[SampleRequest]) -> Result:
    """What vLLM measured, with answers that were cut off among the failed ones, and each reason in a line."""
    lines = [error.strip().rpartition("\n")[2] for error in measured["errors"]]
    errors = [line or ("" if tokens else CUT_OFF) for line, tokens in zip(lines, measured["output_lens"], strict=True)]
    failed, good = sum(map(bool, errors)), measured["request_goodput"]
    return {
        **measured,
        "errors": errors,
        "completed": len(requests) - failed,
        "failed": failed,
        "failures": dict(Counter(filter(None, errors))),
        "goodput_share": None if good is None else good * measured["duration"] / len(requests),
    }


def _pruning(tokens: VisualTokens) -> Result:
    """Visual tokens of a prompt on average, as the server counted them; None if it counted none."""
    means = {name: total / tokens.prompts if tokens.prompts else None for name, total in asdict(tokens).items()}
    return {"visual_tokens_input": means["input"], "visual_tokens_kept": means["kept"]}


def require(result: Result, faults: Sequence[str]) -> None:
    """Raises:
    LoadTestError: something is wrong with a measurement that has to be whole.
    """
    if faults:
        raise LoadTestError(f"{name_of(result)}: {faults[0]}")


def _message(error: openai.APIStatusError) -> str:
    """What the server says is wrong."""
    body = error.body
    return str(body.get("message", body)) if isinstance(body, dict) else error.message
