"""Whole HTTP requests as a broken client or an attacker might send them: hypothesis strategies.

Most of a body is right and a few fields are odd, so that requests get past the first check and fail, or do not, behind
it.
"""

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.support.fuzzing.conversations import block_turns, conversations, items, words
from tests.support.fuzzing.fields import CHAT, COMPLETION, MESSAGES, RESPONSES, SHOWN, TOKENIZE
from tests.support.fuzzing.pictures import PICTURES, as_url, damaged_urls, urls
from tests.support.fuzzing.values import Fields, Raw, lists, mostly, odd, scalars, write
from tests.support.servers import MODEL

JSON = "application/json"
CHAT_PATH, BATCH_PATH, RESPONSES_PATH = "/v1/chat/completions", "/v1/chat/completions/batch", "/v1/responses"
HELLO = [{"role": "user", "content": "Hello"}]


@dataclass(frozen=True, slots=True)
class Case:
    """One request, as it is sent."""

    path: str
    body: bytes
    content_type: str = JSON


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a body has.

    Attributes:
        prompt: the name of the field with the prompt.
        right: a prompt that is in order.
        prompts: others, most of them in order.
        optional: other fields.
        limit: the name of the field that limits the output, if there is one.
    """

    prompt: str
    right: Any
    prompts: SearchStrategy[Any]
    optional: Fields
    limit: str | None = "max_tokens"

    def plain(self) -> dict[str, Any]:
        """A body that is in order, with nothing but what is needed."""
        limit = {} if self.limit is None else {self.limit: 1}
        return {"model": MODEL, self.prompt: self.right, **limit}


token_prompts = lists(mostly(st.integers(0, 262), scalars), 1)
ENDPOINTS = {
    CHAT_PATH: Endpoint("messages", HELLO, conversations, CHAT),
    BATCH_PATH: Endpoint("messages", [HELLO], lists(conversations, 1), CHAT),
    RESPONSES_PATH: Endpoint("input", "Hello", words | items, RESPONSES, "max_output_tokens"),
    "/v1/completions": Endpoint("prompt", "Hello", words | token_prompts | lists(words | token_prompts, 1), COMPLETION),
    "/v1/messages": Endpoint("messages", HELLO, block_turns, MESSAGES),
    "/tokenize": Endpoint("messages", HELLO, conversations, TOKENIZE, None),
    "/v1/visual_tokens": Endpoint("images", [as_url(PICTURES[0])], lists(urls, 1), SHOWN, None),
}
# No null and no large number: the output would go on to the end of the context, and the fuzzing with it.
NO_LIMITS = (0, -1, 1.5, True, "3", "x", [], {}, *(Raw(number) for number in ("1e400", "NaN", "1" + "0" * 400)))
limits = mostly(st.integers(1, 4), st.sampled_from(NO_LIMITS))
models = mostly(st.just(MODEL), st.sampled_from((None, "x", 1)))


@st.composite
def bodies(draw: DrawFn, endpoint: Endpoint) -> str:
    """JSON text with a prompt, a few other fields, and perhaps odd ones among them."""
    names = draw(st.lists(st.sampled_from(sorted(endpoint.optional)), max_size=4))
    pairs = [("model", draw(models)), (endpoint.prompt, draw(mostly(endpoint.prompts, odd)))]
    pairs += [(name, draw(mostly(endpoint.optional[name], odd))) for name in names]
    if endpoint.limit is not None:
        pairs += [(endpoint.limit, draw(limits))]
    return write(tuple(pairs))


@st.composite
def spoiled(draw: DrawFn, body: bytes) -> bytes:
    """What is no JSON object any more, or none in UTF-8."""
    place = draw(st.integers(0, len(body)))
    spoilt = (
        body[:place],
        body[:place] + b"\xed\xa0\x80" + body[place:],
        body.decode().encode("utf-16"),
        b"\xff" + body,
    )
    others = ("[" * 500, "[" * 100_000, "")
    return draw(st.sampled_from(spoilt) | st.one_of(st.sampled_from(others), odd.map(write)).map(str.encode))


@st.composite
def cases(draw: DrawFn) -> Case:
    """Any request."""
    path = draw(st.sampled_from(sorted(ENDPOINTS)))
    body = draw(bodies(ENDPOINTS[path])).encode()
    content_types = mostly(st.just(JSON), st.sampled_from(("application/json; charset=utf-16", "text/plain", "")))
    return Case(path, draw(mostly(st.just(body), spoiled(body))), draw(content_types))


@st.composite
def picture_cases(draw: DrawFn) -> Case:
    """A question about a picture that is damaged or none."""
    parts = [{"type": "image_url", "image_url": {"url": draw(damaged_urls)}}, {"type": "text", "text": "Hi"}]
    messages = [{"role": "user", "content": parts}]
    body = {"model": MODEL, "messages": messages, "max_tokens": 1, "prune_ratio": draw(st.sampled_from((0, 0.5, 0.9)))}
    return Case(CHAT_PATH, json.dumps(body).encode())
