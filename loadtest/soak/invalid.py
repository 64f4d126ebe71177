"""Requests that a server must refuse."""

from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from loadtest.images import data_url
from loadtest.soak.request import Request, encode

CHAT = "/v1/chat/completions"
SMALL = Image.new("RGB", (8, 8), "teal")
MOST_IMAGES = 16
"""What a prompt may have at most, by default."""


def chat(name: str, fields: dict[str, Any], *urls: str) -> Callable[[str], Request]:
    """A chat with these pictures, or with one that is in order, and these fields."""
    pictures = [{"type": "image_url", "image_url": {"url": url}} for url in urls or (data_url(SMALL, "PNG"),)]
    messages = [{"role": "user", "content": [*pictures, {"type": "text", "text": "What is it?"}]}]

    def make(model: str) -> Request:
        return Request(name, CHAT, encode({"model": model, "messages": messages, **fields}), invalid=True)

    return make


def other(name: str, path: str, content: bytes) -> Callable[[str], Request]:
    """What is no chat at all."""
    return lambda model: Request(name, path, content, invalid=True)


INVALID: Sequence[Callable[[str], Request]] = (
    chat("ratio of one", {"prune_ratio": 1}),
    chat("ratio below zero", {"prune_ratio": -0.1}),
    chat("ratio that is no number", {"prune_ratio": float("nan")}),
    chat("ratio as text", {"prune_ratio": "0.5"}),
    chat("budget of nothing", {"visual_token_budget": 0}),
    chat("ratio and budget", {"prune_ratio": 0.5, "visual_token_budget": 40}),
    chat("method that is none", {"prune_method": "best"}),
    chat("fastv", {"prune_method": "fastv"}),
    chat("processor's arguments", {"mm_processor_kwargs": {"prune_ratio": 0.5}}),
    chat("too many answers", {"n": 1000}),
    chat("no length", {"max_completion_tokens": -1}),
    chat("another model", {"model": "no such model"}),
    chat("no messages", {"messages": []}),
    chat("broken picture", {}, "data:image/png;base64,AAAA"),
    chat("truncated picture", {}, data_url(SMALL, "PNG")[:-40]),
    chat("picture of another format", {}, data_url(SMALL, "BMP")),
    chat("picture from the host itself", {}, "http://localhost/picture.png"),
    chat("file", {}, "file:///etc/hostname"),
    chat("picture too narrow", {}, data_url(Image.new("RGB", (2, 1000)), "PNG")),
    chat("too many pictures", {}, *[data_url(SMALL, "PNG")] * (MOST_IMAGES + 1)),
    other("no JSON", CHAT, b'{"model": '),
    other("no object", CHAT, b"[]"),
    other("no UTF-8", CHAT, b'{"model": "\xff"}'),
    other("no route", "/v1/no/such/route", b"{}"),
)
"""Each makes a request to a model."""
