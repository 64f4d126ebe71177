"""The judge: the served model itself, without pruning."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any
from uuid import uuid4

from vllm.sampling_params import RequestOutputKind, SamplingParams

from gprune_server.shadow.verdict import Verdict


class Judge:
    """Has an engine compute how probable an answer is without pruning, in one prefill and without decoding.

    Args:
        engine_client: `vllm.engine.protocol.EngineClient` (vLLM 0.32), not one that observes prompts.

    Raises:
        ValueError: the server allows no log-probabilities.
    """

    def __init__(self, engine_client: Any) -> None:
        if 0 <= engine_client.model_config.max_logprobs < 1:
            raise ValueError("--prune-shadow-fraction needs log-probabilities. Start the server with --max-logprobs 1.")
        self._engine = engine_client

    async def judge(
        self, render: Callable[..., Awaitable[Any]], answer: Sequence[int], lora_request: Any = None
    ) -> Verdict:
        """Judge an answer.

        Args:
            render: `PruneRecord.render` of the prompt that was answered.
            answer: token ids.
            lora_request: the adapter that answered, if any.
        """
        prompt = await render(unpruned=True)
        whole = {**prompt, "prompt_token_ids": [*prompt["prompt_token_ids"], *answer]}
        request_id = f"gprune-shadow-{uuid4().hex}"
        generated = self._engine.generate(whole, _parameters(), request_id, lora_request=lora_request)
        async with aclosing(generated) as outputs:
            logprobs = [output.prompt_logprobs async for output in outputs if output.prompt_logprobs][-1]
        return Verdict.of(logprobs, answer)


def _parameters() -> SamplingParams:
    """Return parameters of the shortest request: vLLM generates one token at least."""
    return SamplingParams(
        max_tokens=1,
        temperature=0,
        prompt_logprobs=1,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )
