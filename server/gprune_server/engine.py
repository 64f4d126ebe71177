"""Engine client of the serving handlers, which observes every prompt with images."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from gprune_server.errors import check_output, check_sendable
from gprune_server.guard.sequences import check_number
from gprune_server.observe.observation import Observer, Outcome, PromptRecord
from gprune_server.resending import lacks_images, with_images
from gprune_server.shadow.shadow import Shadow
from gprune_vllm.account import PruneRecord


class ObservedEngine:
    """Wraps `vllm.engine.protocol.EngineClient` (vLLM 0.32). Changes:

    - `generate` refuses prompts that cannot be sent, resends prompts whose images the engine has lost, notifies
      observers of prompts with images and their outcome, and has their answers judged if there is a shadow;
    - `check_admission` refuses requests that could never be admitted.
    """

    def __init__(
        self, engine_client: Any, observers: Sequence[Observer], max_sequences: int, shadow: Shadow | None = None
    ) -> None:
        self._engine = engine_client
        self._max_sequences = max_sequences
        self._observers = observers
        self._shadow = shadow

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def check_admission(self, n: int = 1) -> None:
        """Check that the engine takes `n` more sequences.

        Raises:
            VLLMValidationError: `n` is above the server's limit. Upstream would ask the client to retry.
        """
        check_number(n, self._max_sequences, "n")
        self._engine.check_admission(n)

    def generate(self, prompt: Any, sampling_params: Any, request_id: str, **kwargs: Any) -> AsyncIterator[Any]:
        """Generate outputs for a prompt, like `EngineClient.generate`.

        Raises:
            VLLMValidationError: see `check_sendable`.
        """
        check_sendable(prompt, sampling_params, request_id)
        outputs = self._send(prompt, sampling_params, request_id, kwargs)
        record = PruneRecord.of(prompt)
        if record is None or not record.account.media:
            return outputs
        length, arrival_time = len(prompt["prompt_token_ids"]), prompt.get("arrival_time", 0.0)
        observed = self._observe(outputs, PromptRecord(request_id, record.account, length, arrival_time))
        if self._shadow is None:
            return observed
        return self._shadow.follow(observed, prompt, sampling_params, request_id, kwargs.get("lora_request"))

    async def _send(
        self, prompt: Any, sampling_params: Any, request_id: str, kwargs: dict[str, Any]
    ) -> AsyncIterator[Any]:
        while True:
            # A client that disconnects closes this generator; closing the engine's aborts the request there.
            async with aclosing(self._engine.generate(prompt, sampling_params, request_id, **kwargs)) as outputs:
                async for output in outputs:
                    if lacks_images(prompt, output):
                        break
                    check_output(output, sampling_params)
                    yield output
                else:
                    return
            prompt = await with_images(prompt)  # happens at most once: the new prompt lacks no images

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
    """Convert vLLM's `RequestStateStats`, which mix the clocks of the frontend and the engine."""
    decoded = stats.num_generation_tokens - 1
    return Outcome(
        tokens=stats.num_generation_tokens,
        time_to_first_token=stats.first_token_latency,
        queue_time=stats.scheduled_ts - stats.queued_ts,
        end_to_end=time.time() - stats.arrival_time,
        inter_token=(stats.last_token_ts - stats.first_token_ts) / decoded if decoded > 0 else None,
    )
