"""Shadow quality: the unpruned model judges a share of the answers, after clients have them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from contextvars import Context
from functools import partial
from typing import Any

from vllm.logger import init_logger
from vllm.sampling_params import SamplingParams

from gprune_server.choosing.share import is_chosen
from gprune_server.pressure import EnginePressure
from gprune_server.shadow.allowance import Allowance
from gprune_server.shadow.answer import Answer
from gprune_server.shadow.ceiling import Ceiling
from gprune_server.shadow.judge import Judge
from gprune_server.shadow.metrics import ShadowMetrics
from gprune_server.shadow.settings import ShadowSettings
from gprune_vllm.account import PruneRecord
from gprune_vllm.settings import PruneSettings

logger = init_logger(f"vllm.{__name__}")

MOST_IN_FLIGHT = 1
"""Answers that one API server has judged at a time. Further ones are skipped."""
PATIENCE = 30.0
"""Seconds until a judgement is given up. The engine then drops it."""


class Shadow:
    """Follows answers on their way to clients, and has some of them judged.

    Answers of unpruned prompts are judged as well: they show how far the model disagrees with itself where a request
    samples, has tools or has a grammar. Whatever fails here is counted and never reaches a client.

    Args:
        fraction: largest share of the prompts with images, and of their tokens, in (0, 1].
        judge: the unpruned model.
        metrics: counts outcomes.
        has_room: returns whether the engine would compute one more request at once.
        most_tokens: longest prompt of the model.
        ceiling: takes the verdicts into account; None if there is no least agreement.
    """

    def __init__(
        self,
        fraction: float,
        judge: Judge,
        metrics: ShadowMetrics,
        has_room: Callable[[], bool],
        most_tokens: int,
        ceiling: Ceiling | None = None,
    ) -> None:
        self._fraction, self._judge, self._metrics, self._has_room = fraction, judge, metrics, has_room
        self._most_tokens, self._allowance = most_tokens, Allowance(fraction)
        self.ceiling = ceiling
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(
        self,
        outputs: AsyncIterator[Any],
        prompt: Any,
        sampling_params: SamplingParams,
        request_id: str,
        lora_request: Any = None,
    ) -> AsyncIterator[Any]:
        """Return the outputs of a prompt unchanged. Judge the answer behind them if the request is chosen."""
        record = PruneRecord.of(prompt)
        if record is None or record.render is None:
            return outputs
        served = len(prompt["prompt_token_ids"])
        self._allowance.earn(served)
        if not is_chosen(request_id, self._fraction, "shadow"):
            return outputs
        length = served + record.account.input - record.account.kept
        return self._collect(outputs, Answer(sampling_params.output_kind), record, length, lora_request)

    async def _collect(
        self, outputs: Any, answer: Answer, record: PruneRecord, length: int, lora_request: Any
    ) -> AsyncIterator[Any]:
        async with aclosing(outputs):
            async for output in outputs:
                answer.add(output)
                yield output
        if answer.finished and answer.tokens:
            self._consider(answer, record, length, lora_request)

    def _consider(self, answer: Answer, record: PruneRecord, length: int, lora_request: Any) -> None:
        """Start to judge an answer if there is room. `length` is that of the unpruned prompt in tokens."""
        fitting = answer.tokens[: max(0, self._most_tokens - length)]
        if not fitting:
            self._metrics.ended("skipped_length")
        elif len(self._tasks) >= MOST_IN_FLIGHT or not self._has_room():
            self._metrics.ended("skipped_load")
        elif not self._allowance.spend(length + len(fitting)):
            self._metrics.ended("skipped_allowance")
        else:
            # In a context of its own: the request that was answered is over.
            task = asyncio.create_task(self._judge_answer(fitting, record, lora_request), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _judge_answer(self, answer: Sequence[int], record: PruneRecord, lora_request: Any) -> None:
        assert record.render is not None
        try:
            async with asyncio.timeout(PATIENCE):
                verdict = await self._judge.judge(record.render, answer, lora_request)
        except TimeoutError:
            self._metrics.ended("skipped_load")
        except Exception as error:  # of vLLM, of an image that is gone: the client has its answer
            logger.warning_once("An answer could not be judged: %s", type(error).__name__)  # its text may be a prompt's
            self._metrics.ended("failed")
        else:
            self._metrics.ended("judged")
            self._metrics.judged(record.account, verdict)
            if self.ceiling is not None:
                self.ceiling.observe(record.account, verdict)


def start_shadow(prune_settings: PruneSettings, engine_client: Any, pressure: EnginePressure | None) -> Shadow | None:
    """Set up shadow quality as the operator asked for it. Return None if no answer is to be judged.

    Raises:
        ValueError: the engine keeps no statistics, it allows no log-probabilities, or there is no ratio to limit.
    """
    settings = ShadowSettings.load()
    if not settings.prune_shadow_fraction:
        return None
    if pressure is None:
        raise ValueError(
            "--prune-shadow-fraction needs the engine's statistics. Start the server without --disable-log-stats."
        )
    config, metrics = engine_client.vllm_config, ShadowMetrics()
    return Shadow(
        settings.prune_shadow_fraction,
        Judge(engine_client),
        metrics,
        partial(pressure.has_room, config.scheduler_config.max_num_seqs),
        config.model_config.max_model_len - 1,
        None if settings.min_agreement is None else _ceiling(settings.min_agreement, prune_settings, metrics),
    )


def _ceiling(least: float, settings: PruneSettings, metrics: ShadowMetrics) -> Ceiling:
    """Create the ceiling of the ratios that a server chooses."""
    if not settings.largest_default:
        raise ValueError(
            f"--min-agreement {least} has no ratio to limit. Set --default-prune-ratio or --prune-policy adaptive."
        )
    return Ceiling(least, settings.largest_default, settings.prune_method, metrics.limited)
