"""Questions about images, asked of a server as an OpenAI client asks them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

from PIL import Image

from gprune_server.choosing.share import is_chosen
from tests.support.photos import data_url
from tests.support.servers import MODEL, Server

QUESTION = "What do you see?"
SHADOW_FRACTION = 1e-5
CANARY_FRACTION = 1e-5
"""As in tenants.yaml."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered: token ids and their log-probabilities, and the usage."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    prompt_tokens: int
    cached_tokens: int
    visual_tokens: dict[str, Any] | None


def messages(images: Sequence[Image.Image], question: str = QUESTION) -> list[Any]:
    """One user turn: the images, then the question."""
    pictures = [{"type": "image_url", "image_url": {"url": data_url(image)}} for image in images]
    return [{"role": "user", "content": [*pictures, {"type": "text", "text": question}]}]


def ask(
    server: Server,
    images: Sequence[Image.Image],
    ratio: float | None = None,
    question: str = QUESTION,
    max_tokens: int = 16,
    model: str = MODEL,
    **extra: Any,
) -> Answer:
    """Ask greedily; `ratio` None leaves the field out."""
    extra = {"return_token_ids": True, "ignore_eos": True, **extra}
    if ratio is not None:
        extra["prune_ratio"] = ratio
    completion = server.client.chat.completions.create(
        model=model,
        messages=messages(images, question),
        max_completion_tokens=max_tokens,
        temperature=0,
        logprobs=True,
        extra_body=extra,
    )
    choice, usage = completion.choices[0], completion.usage
    assert usage is not None
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    details = usage.prompt_tokens_details
    return Answer(
        token_ids=tuple(choice.model_extra["token_ids"]),
        logprobs=tuple(token.logprob for token in choice.logprobs.content),
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=(details.cached_tokens or 0) if details else 0,
        visual_tokens=(usage.model_extra or {}).get("visual_tokens"),
    )


@cache
def chosen_id() -> str:
    """A `request_id` of a chat whose answer is judged by a server with `pool.SHADOW`."""
    ids = (f"judged-{number}" for number in count())
    return next(each for each in ids if is_chosen(f"chatcmpl-{each}", SHADOW_FRACTION, "shadow"))


@cache
def canary_id() -> str:
    """A `request_id` on which the default server tries its canary."""
    ids = (f"canary-{number}" for number in count())
    return next(each for each in ids if is_chosen(each, CANARY_FRACTION, "canary"))


def same(left: Answer, right: Answer, tolerance: float = 1e-3) -> bool:
    """Whether two answers are the same tokens, equally probable but for floating-point noise."""
    close = all(abs(a - b) < tolerance for a, b in zip(left.logprobs, right.logprobs, strict=True))
    return left.token_ids == right.token_ids and close
