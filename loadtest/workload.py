"""What is asked."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

from loadtest.request import Request

PROMPTS = ("Describe the picture.", "What are the main colours?", "Is there any text, and what does it say?")


@dataclass(frozen=True, slots=True)
class Workload:
    """Makes requests that differ in their images, and in their prompts by turns.

    Attributes:
        model: name of the model.
        images: a supply without end.
        images_per_request: 0 asks about text only.
        prompts: asked by turns.
        max_tokens: of an answer.
        fields: further ones of the body, which win over all others.
    """

    model: str
    images: Iterator[str]
    images_per_request: int = 1
    prompts: Sequence[str] = PROMPTS
    max_tokens: int = 16
    fields: Mapping[str, Any] = field(default_factory=dict)

    def requests(self, count: int, ratios: Sequence[float | None], source: random.Random) -> list[Request]:
        """Requests that ask for these ratios equally often, in random order."""
        chosen = list(islice(cycle(ratios), count))
        source.shuffle(chosen)
        return [self._request(ratio, prompt) for ratio, prompt in zip(chosen, cycle(self.prompts), strict=False)]

    def _request(self, ratio: float | None, prompt: str) -> Request:
        images = [
            {"type": "image_url", "image_url": {"url": url}} for url in islice(self.images, self.images_per_request)
        ]
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": [*images, {"type": "text", "text": prompt}]}],
            "max_tokens": self.max_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            **({} if ratio is None else {"prune_ratio": ratio}),
            **self.fields,
        }
        return Request(json.dumps(body).encode(), ratio, len(images))
