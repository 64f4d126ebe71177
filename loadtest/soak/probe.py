"""A fixed request, asked again and again: its answer must never change."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from loadtest.images import draw
from loadtest.soak.client import Client

TOKENS = 16


@dataclass(frozen=True, slots=True)
class Reading:
    """An answer, to the last bit.

    Attributes:
        cached: how many tokens of its prompt were found in the prefix cache.
    """

    token_ids: Sequence[int]
    logprobs: Sequence[float]
    cached: int = 0

    @classmethod
    def of(cls, response: Any) -> "Reading":
        """Read a chat completion."""
        choice = response["choices"][0]
        logprobs = tuple(token["logprob"] for token in choice["logprobs"]["content"])
        details = response["usage"].get("prompt_tokens_details") or {}
        return cls(tuple(choice["token_ids"]), logprobs, details.get("cached_tokens") or 0)


class Probe:
    """Asks the request, and compares with what was answered first.

    Every other time the prefix cache may not be used, so that the whole prompt is computed. In half precision, or on
    several threads, a prompt computed in part may differ in the last bits from one computed whole: answers are held
    against the first for which as much was cached.
    """

    def __init__(self, client: Client, model: str) -> None:
        picture = {"type": "image_url", "image_url": {"url": draw((224, 160), Random("probe"))}}
        text = {"type": "text", "text": "What does the sign say?"}
        self._client = client
        self._body = {
            "model": model,
            "messages": [{"role": "user", "content": [picture, text]}],
            "prune_ratio": 0.5,
            "temperature": 0,
            "max_completion_tokens": TOKENS,
            "ignore_eos": True,
            "logprobs": True,
            "return_token_ids": True,
        }
        self._first: dict[int, Reading] = {}
        self.asked = 0

    async def ask(self) -> str | None:
        """Ask once.

        Returns:
            How the answer differs from the first of its kind, or None.

        Raises:
            httpx.HTTPError: there is no answer.
        """
        salt = {"cache_salt": f"probe {self.asked}"} if self.asked % 2 else {}
        reading = Reading.of(await self._client.post("/v1/chat/completions", self._body | salt))
        self.asked += 1
        return difference(self._first.setdefault(reading.cached, reading), reading)


def difference(first: Reading, now: Reading) -> str | None:
    """How an answer differs from an earlier one; None if it does not, to the last bit."""
    if first.token_ids != now.token_ids:
        return f"token ids {list(now.token_ids)} instead of {list(first.token_ids)}"
    if first.logprobs == now.logprobs:
        return None
    largest = max(abs(one - other) for one, other in zip(first.logprobs, now.logprobs, strict=True))
    return f"log-probabilities, by up to {largest:.2g}"
