"""The traffic of a soak: endpoints, ratios, budgets, methods, sizes, streams, clients that leave, and hostile ones."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from tests.support.fuzzing.fuzzer import samples
from tests.support.fuzzing.refused import REFUSED
from tests.support.fuzzing.requests import BATCH_PATH, CHAT_PATH, RESPONSES_PATH, Case, cases
from tests.support.photos import data_url
from tests.support.servers import MODEL

SMALL = ((1, 1), (1, 90), (90, 1), (5, 3), (64, 48), (112, 112), (300, 100), (100, 300), (224, 224), (700, 23))
SIZES = (*SMALL, (640, 427), (1000, 750))
"""Width and height, from one pixel to many crops."""
RATIOS = (0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
BUDGETS = (1, 40, 128, 10**6)
METHODS = ("gprune", "gprune-blend", "gprune-nms", "divprune", "grid", "l2norm", "random", "scope", "tome", "visionzip")
QUESTIONS = ("What does the sign say?", "How many shapes are there?", "What colour is the star? " * 20)
WEIGHTS = {"chat": 66, "batch": 6, "responses": 8, "text": 6, "refused": 8, "hostile": 6}
"""How often each kind comes, in per cent."""
LEAVING = 0.1
"""The share of clients that leave before their answer is whole."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent, of which kind, and after how many seconds its client leaves, if it does."""

    kind: str
    case: Case
    patience: float | None = None


class Traffic:
    """Draws requests at random, the same ones for the same seed; `hostile` ones are drawn from so many."""

    def __init__(self, seed: int, hostile: int = 300) -> None:
        self._source = random.Random(seed)
        self._hostile: list[Case] = samples(cases(), hostile)
        self._familiar = [self._picture(size) for size in SIZES * 2]

    def draw(self) -> Request:
        """The next request."""
        source = self._source
        kind = source.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if kind == "refused":
            return Request(kind, source.choice(REFUSED).case)
        if kind == "hostile":
            return Request(kind, source.choice(self._hostile))
        path, body = getattr(self, f"_{kind}")()
        leaving = source.random() < LEAVING
        return Request(kind, Case(path, json.dumps(body).encode()), source.expovariate(2) if leaving else None)

    def _chat(self) -> tuple[str, dict[str, Any]]:
        stream = {"stream": True, "stream_options": {"include_usage": True}} if self._source.random() < 0.5 else {}
        return CHAT_PATH, self._fields("max_completion_tokens") | {"messages": self._conversation()} | stream

    def _batch(self) -> tuple[str, dict[str, Any]]:
        conversations = [self._conversation() for _ in range(self._source.randint(1, 3))]
        return BATCH_PATH, self._fields("max_completion_tokens") | {"messages": conversations}

    def _responses(self) -> tuple[str, dict[str, Any]]:
        pictures = [{"type": "input_image", "image_url": url, "detail": "auto"} for url in self._urls()]
        content = [*pictures, {"type": "input_text", "text": self._source.choice(QUESTIONS)}]
        prompt = {"input": [{"role": "user", "content": content}], "stream": self._source.random() < 0.5}
        return RESPONSES_PATH, self._fields("max_output_tokens") | prompt

    def _text(self) -> tuple[str, dict[str, Any]]:
        return "/v1/completions", self._sampling("max_tokens") | {"prompt": self._source.choice(QUESTIONS)}

    def _sampling(self, limit: str) -> dict[str, Any]:
        return {"model": MODEL, "temperature": self._source.choice((0, 1)), limit: self._source.randint(1, 40)}

    def _fields(self, limit: str) -> dict[str, Any]:
        """A ratio, a budget or neither, by any method or the default one."""
        ratio, budget = (
            {"prune_ratio": self._source.choice(RATIOS)},
            {"visual_token_budget": self._source.choice(BUDGETS)},
        )
        amounts: Sequence[dict[str, Any]] = ({}, ratio, ratio, budget)
        method = {"prune_method": self._source.choice(METHODS)} if self._source.random() < 0.5 else {}
        return self._sampling(limit) | self._source.choice(amounts) | method

    def _conversation(self) -> list[dict[str, Any]]:
        pictures = [{"type": "image_url", "image_url": {"url": url}} for url in self._urls()]
        return [{"role": "user", "content": [*pictures, {"type": "text", "text": self._source.choice(QUESTIONS)}]}]

    def _urls(self) -> list[str]:
        """No picture, mostly one, or several; half of them come again."""
        several = self._source.randint(1, 4)
        return [self._url() for _ in range(self._source.choice((0, 1, 1, 1, several)))]

    def _url(self) -> str:
        if self._source.random() < 0.5:
            return self._source.choice(self._familiar)
        return self._picture(self._source.choice(SIZES))

    def _picture(self, size: tuple[int, int]) -> str:
        """A field of colours that no other picture has: a large one as JPEG, for as PNG it would cost the client."""
        colours = Image.frombytes("RGB", (8, 8), self._source.randbytes(3 * 8 * 8))
        large = size[0] * size[1] > 100_000
        return data_url(colours.resize(size, Image.Resampling.BICUBIC), "JPEG" if large else "PNG")
