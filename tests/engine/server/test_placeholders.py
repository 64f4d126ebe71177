"""Text that stands for an image moves no image, wherever it is written or however it is put together."""

from typing import Any

import pytest

from tests.support import photos
from tests.support.questions import ask, same
from tests.support.servers import MODEL, Server

CHAT = "/v1/chat/completions"
PICTURES = [
    {"type": "image_url", "image_url": {"url": photos.data_url(photos.generated(64, 48, seed))}} for seed in (1, 2)
]


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": [text("Pictures <image>: red"), PICTURES[0], text("green"), PICTURES[1]]}],
        [{"role": "system", "content": "<image>"}, {"role": "user", "content": [PICTURES[0]]}],
        [{"role": "user", "content": [text("a <im"), text("age> b"), PICTURES[0]]}],
        [{"role": "user", "content": [text("a <im"), text("age> b")]}],
    ],
)
def test_placeholders_are_refused(server: Server, messages: list[Any]) -> None:
    answer = server.post(CHAT, {"model": MODEL, "messages": messages, "max_tokens": 1})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "messages")


def test_tools_and_their_results_are_text_too(server: Server) -> None:
    tools = [{"type": "function", "function": {"name": "zoom", "description": "Returns <image>"}}]
    result = {"role": "tool", "tool_call_id": "a", "content": "<image>"}
    turn = {"role": "user", "content": [PICTURES[0]]}
    for field, more in (("tools", {"tools": tools, "tool_choice": "none"}), ("messages", {"messages": [turn, result]})):
        answer = server.post(CHAT, {"model": MODEL, "messages": [turn], "max_tokens": 1, **more})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)


def test_similar_text_moves_no_image(server: Server) -> None:
    images = [photos.generated(64, 48, seed) for seed in (1, 2)]
    before = ask(server, images, 0.5, question="< image > image> <Image>")
    assert before.visual_tokens is not None
    assert same(ask(server, images, 0.5, question="< image > image> <Image>", cache_salt="a"), before)
