"""Put questions to a server, some at a time."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from openai import APIError, APIStatusError, AsyncOpenAI
from tqdm import tqdm

from evaluation.cell import Cell
from evaluation.failure import EvaluationError
from evaluation.journal import Answer, Journal, key_of, time_key
from evaluation.sample import MAX_TOKENS, Sample

WARM_UP = 4
"""Questions asked before the first that is timed."""


class Asker:
    """Asks one server.

    Args:
        client: of the server.
        model: name of its model.
        fingerprint: names everything that its answers depend on.
        concurrency: questions in flight.
    """

    def __init__(self, client: AsyncOpenAI, model: str, fingerprint: str, concurrency: int) -> None:
        self._client, self._model, self._fingerprint, self._concurrency = client, model, fingerprint, concurrency

    async def ask_cells(self, questions: Mapping[Cell, Sequence[Sample]], journal: Journal) -> None:
        """Ask cell by cell, so that each has its own time. The journal gets each answer as it comes.

        Raises:
            EvaluationError: a request failed. Those in flight are dropped.
        """
        for cell, samples in questions.items():  # the first of a cell wait for what a server sets up when it is asked
            await self._ask_all(cell, samples[:WARM_UP], lambda answer: None)
        with tqdm(total=sum(map(len, questions.values())), unit="question", smoothing=0.05, mininterval=1) as bar:

            def keep(answer: Answer) -> None:
                journal.add(answer)
                bar.update()

            for cell, samples in questions.items():
                bar.set_description(str(cell))
                with journal.timed(time_key(self._fingerprint, cell, self._concurrency)):
                    await self._ask_all(cell, samples, keep)

    async def _ask_all(self, cell: Cell, samples: Sequence[Sample], keep: Callable[[Answer], None]) -> None:
        remaining = iter(samples)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._concurrency):
                    group.create_task(self._ask_one_by_one(cell, remaining, keep))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _ask_one_by_one(self, cell: Cell, samples: Iterator[Sample], keep: Callable[[Answer], None]) -> None:
        for sample in samples:
            keep(await self._ask(cell, sample))

    async def _ask(self, cell: Cell, sample: Sample) -> Answer:
        about = f"{cell}, scene {sample.scene}, {sample.task}"
        try:
            completion = await self._client.chat.completions.create(**request(self._model, cell, sample))
        except APIStatusError as error:
            raise EvaluationError(f"the server answered {error.status_code} ({about}): {error.message}") from error
        except APIError as error:
            raise EvaluationError(f"no answer ({about}): {error.__cause__ or error!r}") from error
        return Answer.to(sample, cell, key=key_of(self._fingerprint, cell, sample), **read(completion, cell))


def request(model: str, cell: Cell, sample: Sample) -> dict[str, Any]:
    """The arguments of the client's `chat.completions.create` for a question."""
    picture = {"type": "image_url", "image_url": {"url": sample.picture.url}}
    message = {"role": "user", "content": [picture, {"type": "text", "text": sample.question}]}
    settings = {"temperature": 0, "max_tokens": MAX_TOKENS, "extra_body": cell.fields}
    return {"model": model, "messages": [message], **settings}


def read(completion: Any, cell: Cell) -> dict[str, Any]:
    """What an answer says, and how long its prompt was.

    Raises:
        EvaluationError: the server pruned otherwise than asked.
    """
    visual = getattr(completion.usage, "visual_tokens", None)
    if visual is None:
        raise EvaluationError("the answer has no usage.visual_tokens; is it gprune-serve that answers?")
    pruned = {"prune_ratio": visual["prune_ratio"], "prune_method": visual["method"]}
    if not cell.fields.items() <= pruned.items():
        raise EvaluationError(f"asked for {cell}, and the server pruned otherwise: {visual}")
    text, prompt_tokens = completion.choices[0].message.content or "", completion.usage.prompt_tokens
    return {"text": text, "prompt_tokens": prompt_tokens, "visual_tokens": visual["kept"]}
