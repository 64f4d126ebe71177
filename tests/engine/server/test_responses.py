"""`/v1/responses` takes what agents send, and tells what was pruned whenever a response is read."""

from typing import Any

import httpx
import pytest

from tests.support import photos
from tests.support.servers import API_KEY, MODEL, Server
from tests.support.waiting import wait_until

PATH = "/v1/responses"
IMAGE = {"type": "input_image", "image_url": photos.data_url(photos.generated(64, 48))}
USER = {"role": "user", "content": "Hi"}
PRUNED = {"model": MODEL, "input": [{"role": "user", "content": [IMAGE]}], "max_output_tokens": 2, "prune_ratio": 0.5}


def output(*parts: Any, **fields: Any) -> list[Any]:
    return [USER, {"role": "assistant", "content": list(parts), **fields}, USER]


TEXT = {"type": "output_text", "text": "Yes"}
CALL = {"type": "function_call", "call_id": "a", "name": "zoom", "arguments": "{}"}
NULLS = {"id": None, "status": None}


@pytest.mark.parametrize(
    ("agents", "complete"),
    [
        (output(TEXT), output(TEXT | {"annotations": []}, type="message", id="a", status="completed")),
        (output(TEXT | {"annotations": None, "logprobs": None}, **NULLS), output(TEXT)),
        (output({"text": "Yes"}), output(TEXT)),
        (output({"type": "text", "text": "Yes"}), output(TEXT)),
        (output({"type": "refusal", "refusal": "Yes"}), output(TEXT)),
        (output({"text": "Y"}, {"text": "es"}), output(TEXT)),
        (output(TEXT), [USER, {"role": "assistant", "content": "Yes"}, USER]),
        ([{"role": "user", "content": [IMAGE | {"detail": None, "file_id": None}], **NULLS}], PRUNED["input"]),
        ([{"role": "user", "content": [{"image_url": IMAGE["image_url"]}]}], PRUNED["input"]),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE["image_url"]}}]}],
            PRUNED["input"],
        ),
        (
            [USER, CALL | NULLS, {"type": "function_call_output", "call_id": "a", "output": [IMAGE], **NULLS}],
            [
                *(USER, CALL),
                {"type": "function_call_output", "call_id": "a", "output": [IMAGE | {"detail": "auto"}]},
            ],
        ),
        (
            [USER, {"type": "reasoning", "id": None, "content": None, "encrypted_content": None}, USER],
            [USER, {"type": "reasoning", "id": "a", "summary": []}, USER],
        ),
    ],
)
def test_items_of_agents_are_those_that_they_stand_for(server: Server, agents: list[Any], complete: list[Any]) -> None:
    told = []
    for items in (agents, complete):
        answer = server.post(PATH, PRUNED | {"input": items, "temperature": 0})
        assert answer.status_code == 200, answer.text[:500]
        told.append((answer.json()["output"][0]["content"][0]["text"], answer.json()["usage"]["input_tokens"]))
    assert told[0] == told[1]


@pytest.mark.parametrize(
    "items",
    [
        [{}],
        [{"type": "x"}],
        [1],
        ["Hi"],
        [{"role": "user"}],
        [{"role": "user", "content": [{"type": "input_image", "file_id": "a"}]}],
        [{"role": "user", "content": [{"type": "input_image", "image_url": None}]}],
        [USER, CALL, {"role": "tool", "content": [IMAGE], "tool_call_id": "a"}],
    ],
)
def test_other_items_are_refused_briefly(server: Server, items: list[Any]) -> None:
    answer = server.post(PATH, {"model": MODEL, "input": items, "max_output_tokens": 1})
    assert answer.status_code == 400
    assert "input" in answer.json()["error"]["param"]
    assert len(answer.text) < 3000


@pytest.mark.parametrize("stream", [False, True])
def test_responses_of_the_background_tell_what_was_pruned(server: Server, stream: bool) -> None:
    expected = server.post(PATH, PRUNED).json()["usage"]["visual_tokens"]
    name = f"resp_background_{stream}"
    assert server.post(PATH, PRUNED | {"background": True, "stream": stream, "request_id": name}).status_code == 200

    def read(query: str = "") -> httpx.Response:
        headers = {"Authorization": f"Bearer {API_KEY}"}
        return server.http.get(f"{PATH}/{name}{query}", headers=headers)

    wait_until(lambda: read().json()["status"] not in ("queued", "in_progress"))
    assert read().json()["usage"]["visual_tokens"] == expected
    assert not stream or '"visual_tokens":{"input":' in read("?stream=true").text


def test_a_response_of_the_background_is_refused_at_once_if_it_cannot_be_pruned_so(server: Server) -> None:
    refused = server.post(PATH, PRUNED | {"background": True, "prune_ratio": 7})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "prune_ratio")
