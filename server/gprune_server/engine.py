"""The engine as the serving handlers see it, with every prompt with images observed on its way."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from gprune_server.errors import check_output, check_sendable
from gprune_server.guard.sequences import check_number
from gprune_server.observe.observation import Observer, Outcome, PromptRecord
from gprune_server.resending import lacks_images, with_images
from gprune_vllm.account import ACCOUNT_KEY


class ObservedEngine:
    """Wraps `vllm.engine.protocol.EngineClient` (vLLM 0.32).

    Changes: `generate` refuses what cannot be sent, sends a prompt again whose images the engine has lost, and tells
    observers of prompts with images and how they ended; `check_admission` refuses what would never fit. All else is the
    engine's.
    """

    def __init__(self, engine_client: Any, observers: Sequence[Observer], max_sequences: int) -> None:
        self._engine = engine_client
        self._max_sequences = max_sequences
        self._observers = observers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def check_admission(self, n: int = 1) -> None:
        """Raises:
        VLLMValidationError: a request asks for more sequences than the server takes. With as many, upstream would tell
            its client to come again.
        """
        check_number(n, self._max_sequences, "n")
        self._engine.check_admission(n)

    def generate(self, prompt: Any, sampling_params: Any, request_id: str, **kwargs: Any) -> AsyncIterator[Any]:
        """Outputs of the engine for a prompt, as `EngineClient.generate`."""
        check_sendable(prompt, sampling_params, request_id)
        outputs = self._send(prompt, sampling_params, request_id, kwargs)
        account = prompt.get(ACCOUNT_KEY) if isinstance(prompt, dict) else None
        if account is None or not account.images:
            return outputs
        length, arrival_time = len(prompt["prompt_token_ids"]), prompt.get("arrival_time", 0.0)
        return self._observe(outputs, PromptRecord(request_id, account, length, arrival_time))

    async def _send(
        self, prompt: Any, sampling_params: Any, request_id: str, kwargs: dict[str, Any]
    ) -> AsyncIterator[Any]:
        while True:
            # A client that leaves closes this generator; the engine must learn of it through its own.
            async with aclosing(self._engine.generate(prompt, sampling_params, request_id, **kwargs)) as outputs:
                async for output in outputs:
                    if lacks_images(prompt, output):
                        break
                    check_output(output, sampling_params)
                    yield output
                else:
                    return
            prompt = await with_images(prompt)  # once only: it then lacks none

    async def _observe(self, outputs: Any, prompt: PromptRecord) -> AsyncIterator[Any]:
        outcome = None
        for observer in self._observers:
            observer.started(prompt)
        try:
            async with aclosing(outputs):
                async for output in outputs:
                    if output.finished and output.metrics is not None:
                        outcome = _outcome(output.metrics)
                    yield output
        finally:
            for observer in self._observers:
                observer.ended(prompt, outcome)


def _outcome(stats: Any) -> Outcome:
    """Read vLLM's `RequestStateStats`, which mixes the frontend's clock with the engine's."""
    decoded = stats.num_generation_tokens - 1
    return Outcome(
        tokens=stats.num_generation_tokens,
        time_to_first_token=stats.first_token_latency,
        queue_time=stats.scheduled_ts - stats.queued_ts,
        end_to_end=time.time() - stats.arrival_time,
        inter_token=(stats.last_token_ts - stats.first_token_ts) / decoded if decoded > 0 else None,
    )
