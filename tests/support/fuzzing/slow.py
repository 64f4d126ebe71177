"""Bodies that a server takes long to refuse, the longer they are, unless it limits what is in them."""

import json
from collections.abc import Iterator
from typing import Any

from tests.support.fuzzing.requests import BATCH_PATH, CHAT_PATH, HELLO, RESPONSES_PATH, Case
from tests.support.servers import MODEL

COMPLETIONS, MESSAGES, INVOCATIONS = "/v1/completions", "/v1/messages", "/invocations"
MARK = "?"
"""Stands for what is repeated."""
LISTS: tuple[tuple[str, dict[str, Any], str], ...] = (
    (RESPONSES_PATH, {"input": [MARK]}, "{}"),
    (RESPONSES_PATH, {"input": [MARK]}, '{"type":"message"}'),
    (RESPONSES_PATH, {"input": [{"role": "user", "content": [MARK]}]}, "{}"),
    (RESPONSES_PATH, {"input": [{"role": "assistant", "content": [MARK]}]}, '{"type":"x"}'),
    (RESPONSES_PATH, {"input": [{"type": "function_call_output", "call_id": "a", "output": [MARK]}]}, "[]"),
    (RESPONSES_PATH, {"input": "Hi", "tools": [MARK]}, "{}"),
    (CHAT_PATH, {"messages": [MARK]}, "{}"),
    (CHAT_PATH, {"messages": [MARK]}, '{"role":"user","content":[{}]}'),
    (CHAT_PATH, {"messages": [MARK]}, "9" * 4299),
    (CHAT_PATH, {"messages": [{"role": "user", "content": [MARK]}]}, '{"type":"x"}'),
    (CHAT_PATH, {"messages": HELLO, "tools": [MARK]}, "{}"),
    (CHAT_PATH, {"messages": HELLO, "stop_token_ids": [MARK]}, '"x"'),
    (BATCH_PATH, {"messages": [MARK]}, "[{}]"),
    (COMPLETIONS, {"prompt": [MARK]}, "[[]]"),
    (MESSAGES, {"max_tokens": 1, "messages": [MARK]}, "{}"),
    (MESSAGES, {"max_tokens": 1, "messages": HELLO, "system": [MARK]}, "{}"),
    (INVOCATIONS, {"messages": [MARK]}, "{}"),
    ("/tokenize", {"messages": [MARK]}, "{}"),
    ("/detokenize", {"tokens": [MARK]}, '"x"'),
    ("/v1/visual_tokens", {"images": [MARK]}, "{}"),
)
"""Bodies with a list that is repeated, and its items."""
TEXTS: tuple[tuple[str, dict[str, Any], str], ...] = (
    (CHAT_PATH, {"messages": MARK}, '\\"'),
    (CHAT_PATH, {"messages": [{"role": "user", "content": [{"type": MARK}]}]}, "x"),
    (CHAT_PATH, {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": MARK}}]}]}, "x"),
    (CHAT_PATH, {"messages": [{"role": "user", "content": MARK}]}, "x "),
    (CHAT_PATH, {"messages": HELLO, "structured_outputs": {"regex": MARK}}, "x"),
    (CHAT_PATH, {"messages": HELLO, "structured_outputs": {"grammar": MARK}}, "x"),
    (CHAT_PATH, {"messages": HELLO, "bad_words": [MARK]}, "x"),
    (CHAT_PATH, {"messages": HELLO, "model": MARK}, "x"),
    ("/tokenize", {"prompt": MARK}, "x "),
)
"""Bodies with a string that is repeated, and a piece of it."""


def slow_cases(size: int) -> Iterator[Case]:
    """Bodies of about this many bytes, each to be refused."""
    for path, body, item in LISTS:
        yield Case(path, _repeated(body, item, ",", size))
    for path, body, piece in TEXTS:
        yield Case(path, _repeated(body, piece, "", size, quoted=True))


def _repeated(body: dict[str, Any], piece: str, joint: str, size: int, quoted: bool = False) -> bytes:
    many = joint.join([piece] * (size // len(piece + joint)))
    mark = MARK if quoted else json.dumps(MARK)
    return json.dumps({"model": MODEL} | body).replace(mark, many, 1).encode()
