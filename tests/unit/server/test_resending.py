"""A prompt whose images the engine has lost is sent again with them, before its client hears of it."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

import pytest
from vllm.exceptions import RetryableRequestError
from vllm.sampling_params import SamplingParams

from gprune_server.engine import ObservedEngine
from gprune_vllm.account import RECORD_KEY, PruneRecord, VisualTokenAccount


def output(finish_reason: str | None, *token_ids: int) -> Any:
    return SimpleNamespace(outputs=[SimpleNamespace(finish_reason=finish_reason, token_ids=token_ids)])


class Engine:
    """An engine that has lost an image as often as it is told, and otherwise answers with two tokens."""

    def __init__(self, losses: int) -> None:
        self.losses = losses
        self.sent: list[Any] = []

    async def generate(self, prompt: Any, *arguments: Any) -> AsyncIterator[Any]:
        self.sent.append(prompt["mm_kwargs"]["image"])
        if len(self.sent) <= self.losses:
            yield output("error")
            return
        yield output(None, 1)
        yield output("length", 2)


def prompt(*images: Any, renders: bool = True) -> dict[str, Any]:
    """A prompt with these images, None for those without data. Made again, it has them all."""

    async def render() -> dict[str, Any]:
        return prompt(*(f"image {index}" for index in range(len(images))))

    made = {"prompt_token_ids": [7, 8, 9], "mm_kwargs": {"image": list(images)}}
    return made | ({RECORD_KEY: PruneRecord(VisualTokenAccount(0, 0, 0.0, images=0), render)} if renders else {})


async def answer(engine: Any, asked: Any) -> list[int]:
    async with aclosing(ObservedEngine(engine, [], 128).generate(asked, SamplingParams(), "a")) as outputs:  # type: ignore[type-var]
        return [token async for each in outputs for token in each.outputs[0].token_ids]


async def test_a_lost_image_is_sent_again() -> None:
    engine = Engine(losses=1)
    assert await answer(engine, prompt(None, "B")) == [1, 2]
    assert engine.sent == [[None, "B"], ["image 0", "image 1"]]


async def test_what_the_engine_has_is_sent_once() -> None:
    engine = Engine(losses=0)
    assert await answer(engine, prompt(None)) == [1, 2]
    assert engine.sent == [[None]]


async def test_errors_of_prompts_with_all_their_images_pass() -> None:
    engine = Engine(losses=9)
    assert await answer(engine, prompt("A")) == []
    assert engine.sent == [["A"]]


async def test_a_prompt_that_cannot_be_made_again_may_be_tried_again() -> None:
    with pytest.raises(RetryableRequestError):
        await answer(Engine(losses=1), prompt(None, renders=False))
