"""The mix of requests: endpoints, ratios, budgets, methods, sizes, streams, clients that leave, and bad input."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from loadtest.soak.invalid import INVALID
from loadtest.soak.pictures import Pictures
from loadtest.soak.request import Request, encode

RATIOS = (0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
BUDGETS = (1, 40, 128, 10**6)
METHODS = ("gprune", "divprune", "l2norm", "random", "tome", "visionzip")
QUESTIONS = ("What does the sign say?", "How many shapes are there?", "What colour is the star? " * 20)
WEIGHTS = {"chat": 70, "batch": 6, "responses": 8, "text": 6, "invalid": 10}
"""How often each kind comes, in per cent."""
LEAVING = 0.1
"""The share of clients that leave before their answer is whole."""


class Traffic:
    """Draws requests at random.

    Args:
        model: the model's name in requests.
        seed: the same one gives the same requests.
        most_images: in one prompt.
    """

    def __init__(self, model: str, seed: int = 0, most_images: int = 4) -> None:
        self._model, self._most_images = model, most_images
        self._source = random.Random(seed)
        self._pictures = Pictures(self._source)

    def draw(self) -> Request:
        """The next request."""
        kind = self._source.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if kind == "invalid":
            return self._source.choice(INVALID)(self._model)
        request: Request = getattr(self, f"_{kind}")()
        if self._source.random() < LEAVING:
            return replace(request, patience=self._source.expovariate(2))
        return request

    def _chat(self) -> Request:
        body = self._sampling("max_completion_tokens") | self._pruning() | {"messages": self._conversation()}
        if self._source.random() < 0.5:
            return Request("chat", "/v1/chat/completions", encode(body))
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        return Request("chat stream", "/v1/chat/completions", encode(body))

    def _batch(self) -> Request:
        conversations = [self._conversation() for _ in range(self._source.randint(1, 3))]
        body = self._sampling("max_completion_tokens") | self._pruning() | {"messages": conversations}
        return Request("batch", "/v1/chat/completions/batch", encode(body))

    def _responses(self) -> Request:
        pictures = [{"type": "input_image", "image_url": url, "detail": "auto"} for url in self._urls()]
        content = [*pictures, {"type": "input_text", "text": self._source.choice(QUESTIONS)}]
        stream = {"stream": self._source.random() < 0.5}
        body = self._sampling("max_output_tokens") | self._pruning() | stream
        return Request("responses", "/v1/responses", encode(body | {"input": [{"role": "user", "content": content}]}))

    def _text(self) -> Request:
        body = self._sampling("max_tokens") | {"prompt": self._source.choice(QUESTIONS)}
        return Request("text", "/v1/completions", encode(body))

    def _sampling(self, limit: str) -> dict[str, Any]:
        temperature = self._source.choice((0, 1))
        return {"model": self._model, "temperature": temperature, limit: self._source.randint(1, 40)}

    def _pruning(self) -> dict[str, Any]:
        """A ratio, a budget or neither, by any method or the default one."""
        amounts: Sequence[dict[str, Any]] = (
            {},
            {"prune_ratio": self._source.choice(RATIOS)},
            {"prune_ratio": self._source.choice(RATIOS)},
            {"visual_token_budget": self._source.choice(BUDGETS)},
        )
        method = {"prune_method": self._source.choice(METHODS)} if self._source.random() < 0.5 else {}
        return self._source.choice(amounts) | method

    def _conversation(self) -> list[dict[str, Any]]:
        pictures = [{"type": "image_url", "image_url": {"url": url}} for url in self._urls()]
        text = {"type": "text", "text": self._source.choice(QUESTIONS)}
        return [{"role": "user", "content": [*pictures, text]}]

    def _urls(self) -> list[str]:
        """No picture, mostly one, or several."""
        several = self._source.randint(1, self._most_images)
        return [self._pictures.take() for _ in range(self._source.choice((0, 1, 1, 1, several)))]
