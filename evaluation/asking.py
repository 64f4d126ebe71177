"""Put questions to a server, some at a time."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx

from evaluation.cell import UNPRUNED, Cell
from evaluation.failure import EvaluationError
from evaluation.fingerprint import digest
from evaluation.journal import Answer
from evaluation.sample import Sample
from evaluation.service import authorization

MAX_TOKENS = 8
TIMEOUT = 600
"""Seconds until a question that is not answered has failed."""


class Asker:
    """Asks one server. Use it as an asynchronous context.

    Args:
        url: the server's.
        model: name of its model.
        fingerprint: of the server.
        concurrency: questions in flight.
    """

    def __init__(self, url: str, model: str, fingerprint: str, concurrency: int) -> None:
        self._url, self._model, self._fingerprint, self._concurrency = url, model, fingerprint, concurrency
        limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        self._client = httpx.AsyncClient(timeout=TIMEOUT, headers=authorization(), limits=limits)

    async def __aenter__(self) -> "Asker":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def ask_all(self, cell: Cell, samples: Iterable[Sample], keep: Callable[[Answer], None]) -> None:
        """Ask all questions; each answer is kept as it comes.

        Raises:
            EvaluationError: a request failed. Those in flight are dropped.
        """
        remaining = iter(samples)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._concurrency):
                    group.create_task(self._ask_one_by_one(cell, remaining, keep))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _ask_one_by_one(self, cell: Cell, samples: Iterator[Sample], keep: Callable[[Answer], None]) -> None:
        for sample in samples:
            keep(await self.ask(cell, sample))

    async def ask(self, cell: Cell, sample: Sample) -> Answer:
        """Ask one question.

        Raises:
            EvaluationError: there is no answer, or one to another question than this.
        """
        about = f"{cell}, scene {sample.scene}, {sample.task}"
        try:
            response = await self._client.post(f"{self._url}/v1/chat/completions", json=body(self._model, cell, sample))
        except httpx.HTTPError as error:
            raise EvaluationError(f"no answer ({about}): {type(error).__name__} {error}") from error
        if response.status_code != httpx.codes.OK:
            raise EvaluationError(f"the server answered {response.status_code} ({about}): {response.text[:1000]}")
        return read_answer(response.json(), key_of(self._fingerprint, cell, sample), cell, sample)


def body(model: str, cell: Cell, sample: Sample) -> dict[str, Any]:
    """The request that asks a question."""
    picture = {"type": "image_url", "image_url": {"url": sample.picture.url}}
    message = {"role": "user", "content": [picture, {"type": "text", "text": sample.question}]}
    return {"model": model, "messages": [message], "temperature": 0, "max_tokens": MAX_TOKENS, **cell.fields}


def read_answer(response: dict[str, Any], key: str, cell: Cell, sample: Sample) -> Answer:
    """The answer in a response.

    Raises:
        EvaluationError: the server pruned otherwise than asked.
    """
    usage = response["usage"]
    visual = usage.get("visual_tokens")
    if visual is None:
        raise EvaluationError("the answer has no usage.visual_tokens; is it gprune-serve that answers?")
    method = UNPRUNED if cell.method == UNPRUNED else visual["method"]
    if (method, visual["prune_ratio"]) != (cell.method, cell.ratio):
        raise EvaluationError(f"asked for {cell}, and the server pruned otherwise: {visual}")
    return Answer.to(
        sample,
        cell,
        key=key,
        text=response["choices"][0]["message"]["content"] or "",
        prompt_tokens=usage["prompt_tokens"],
        visual_tokens=visual["kept"],
    )


def key_of(fingerprint: str, cell: Cell, sample: Sample) -> str:
    """Names everything that an answer, and whether it is right, depends on."""
    return digest(fingerprint, cell.fields, sample.picture.digest, sample.question, sample.answer, MAX_TOKENS)
