"""The unpruned model as the judge of a pruned answer, through the public API of a server.

The server's own judge (`gprune_server.shadow.judge`) prefills the unpruned prompt and the answer's tokens. A client can
have the same computed: the conversation, continued by the answer, without pruning and with `prompt_logprobs`.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from openai import APIError, APIStatusError, AsyncOpenAI

from evaluation.agreement.judgement import Judgement
from evaluation.agreement.question import Question
from evaluation.cell import Cell
from evaluation.failure import EvaluationError
from gprune_server.shadow.verdict import Verdict

CONTINUED = {"add_generation_prompt": False, "continue_final_message": True}
"""Fields by which the last message of a conversation is the answer so far."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question under a cell, and the key of its judgement."""

    key: str
    cell: Cell
    question: Question


class Judge:
    """Asks a server for pruned answers, and has its unpruned model judge them.

    Args:
        client: of the server.
        model: name of its model.
        max_tokens: longest answer.
    """

    def __init__(self, client: AsyncOpenAI, model: str, max_tokens: int) -> None:
        self._client, self._model, self._max_tokens = client, model, max_tokens

    async def judge_all(self, asked: Iterable[Asked], keep: Callable[[Judgement], None], concurrency: int) -> None:
        """Judge the answers to questions, some at a time.

        Raises:
            EvaluationError: a request failed. Those in flight are dropped.
        """
        remaining = iter(asked)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(concurrency):
                    group.create_task(self._judge_one_by_one(remaining, keep))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _judge_one_by_one(self, asked: Iterator[Asked], keep: Callable[[Judgement], None]) -> None:
        for each in asked:
            try:
                keep(await self._judge(each))
            except APIStatusError as error:
                about = f"{each.cell}, {each.question.about}"
                raise EvaluationError(f"the server answered {error.status_code} ({about}): {error.message}") from error
            except APIError as error:
                raise EvaluationError(f"no answer ({each.question.about}): {error.__cause__ or error!r}") from error

    async def _judge(self, asked: Asked) -> Judgement:
        messages = asked.question.messages
        answered = await self._chat(messages, self._max_tokens, {**asked.cell.fields, "return_token_ids": True})
        visual = _visual_tokens(answered)
        text, tokens = answered.choices[0].message.content or "", list(answered.choices[0].token_ids)
        continued = [*messages, {"role": "assistant", "content": text}]
        fields = {"prune_ratio": 0, "prompt_logprobs": 1, "return_token_ids": True, **CONTINUED}
        judged = await self._chat(continued, 1, fields) if text else None
        verdict, number = (None, 0) if judged is None else verdict_of(judged, tokens)
        return Judgement(
            key=asked.key,
            method=asked.cell.method,
            ratio=asked.cell.ratio,
            about=asked.question.about,
            tokens=number,
            agreement=verdict.agreement if verdict else 0.0,
            gap=verdict.gap if verdict else 0.0,
            input=visual["input"],
            kept=visual["kept"],
        )

    async def _chat(self, messages: list[dict[str, Any]], max_tokens: int, fields: dict[str, Any]) -> Any:
        return await self._client.chat.completions.create(
            model=self._model,
            messages=messages,  # type: ignore[arg-type]
            max_tokens=max_tokens,
            temperature=0,
            extra_body=fields,
        )


def verdict_of(judged: Any, tokens: list[int]) -> tuple[Verdict | None, int]:
    """Read the verdict on an answer from the completion that continues it.

    Args:
        judged: completion with the log-probabilities and the tokens of its prompt.
        tokens: of the answer, perhaps with a token at the end that has no text.

    Returns:
        The verdict and the number of tokens that it is about: None and 0 if the answer's text, tokenised anew, gives
        other tokens.
    """
    prompt = list(judged.prompt_token_ids)
    for answer in (tokens, tokens[:-1]):
        if answer and prompt[-len(answer) :] == answer:
            logprobs = [None if place is None else _choices(place) for place in judged.prompt_logprobs]
            return Verdict.of(logprobs, answer), len(answer)
    return None, 0


def _choices(place: dict[str, Any]) -> dict[int, SimpleNamespace]:
    """Return the choices at a place of the prompt as vLLM's engine gives them."""
    return {int(token): SimpleNamespace(rank=each["rank"], logprob=each["logprob"]) for token, each in place.items()}


def _visual_tokens(answered: Any) -> dict[str, Any]:
    visual = getattr(answered.usage, "visual_tokens", None)
    if visual is None:
        raise EvaluationError("the answer has no usage.visual_tokens; is it gprune-serve that answers?")
    return dict(visual)
