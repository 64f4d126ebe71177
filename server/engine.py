"""The engine as the serving handlers see it, with every prompt with images observed on its way."""

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from gprune_vllm.account import ACCOUNT_KEY, VisualTokenAccount
from server.metrics import Latencies, PruneMetrics


class ObservedEngine:
    """Wraps `vllm.engine.protocol.EngineClient` (vLLM 0.32).

    Changes: `generate` counts prompts with images and observes their latencies by ratio. All else is the engine's.
    """

    def __init__(self, engine_client: Any, metrics: PruneMetrics) -> None:
        self._engine = engine_client
        self._metrics = metrics

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def generate(self, prompt: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Outputs of the engine for a prompt, as `EngineClient.generate`."""
        outputs = self._engine.generate(prompt, *args, **kwargs)
        account = prompt.get(ACCOUNT_KEY) if isinstance(prompt, dict) else None
        if account is None or not account.images:
            return outputs  # type: ignore[no-any-return]
        return self._observe(outputs, account, len(prompt["prompt_token_ids"]))

    async def _observe(self, outputs: Any, account: VisualTokenAccount, prompt_tokens: int) -> AsyncIterator[Any]:
        self._metrics.count(account, prompt_tokens)
        # A client that leaves closes this generator; the engine must learn of it through its own.
        async with aclosing(outputs):
            async for output in outputs:
                if output.finished and output.metrics is not None:
                    self._metrics.generated(account, output.metrics.num_generation_tokens)
                    self._metrics.finished(account, _latencies(output.metrics))
                yield output


def _latencies(stats: Any) -> Latencies:
    """Latencies from vLLM's `RequestStateStats`, which mixes the frontend's clock with the engine's."""
    decoded = stats.num_generation_tokens - 1
    return Latencies(
        time_to_first_token=stats.first_token_latency,
        queue_time=stats.scheduled_ts - stats.queued_ts,
        end_to_end=time.time() - stats.arrival_time,
        inter_token=(stats.last_token_ts - stats.first_token_ts) / decoded if decoded > 0 else None,
    )
