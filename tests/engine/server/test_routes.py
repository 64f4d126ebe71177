"""Routes that clients of OpenAI, Anthropic and Amazon SageMaker look for."""

from typing import Any

import httpx
import openai
import pytest

from tests.support import photos
from tests.support.questions import messages
from tests.support.servers import API_KEY, MODEL, Server

TEXT = [{"role": "user", "content": "Hi"}]
KEY = {"Authorization": f"Bearer {API_KEY}"}


def test_a_model_is_shown(server: Server) -> None:
    shown = server.client.models.retrieve(MODEL)
    assert shown == next(model for model in server.client.models.list() if model.id == MODEL).model_copy(
        update={"created": shown.created, "permission": shown.permission}  # type: ignore[attr-defined]
    )


@pytest.mark.parametrize("name", ["other", "of/an/organization", "tiny2"])
def test_an_unknown_model_is_not_found(server: Server, name: str) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        server.client.models.retrieve(name)
    assert (raised.value.param, raised.value.code) == ("model", "404")
    assert name in raised.value.message


@pytest.mark.parametrize("path", ["/health", "/ping", "/metrics", "/version", "/v1/models", f"/v1/models/{MODEL}"])
def test_head_is_answered(server: Server, path: str) -> None:
    answer = httpx.head(f"{server.url}{path}", headers=KEY, timeout=60)
    assert (answer.status_code, answer.content) == (200, b"")


def post(server: Server, path: str, body: Any, key: str = API_KEY) -> httpx.Response:
    """Post as Anthropic's clients do."""
    return httpx.post(f"{server.url}{path}", json=body, headers={"x-api-key": key}, timeout=60)


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_anthropics_clients_are_answered(server: Server, path: str) -> None:
    body: dict[str, Any] = {"model": MODEL, "max_tokens": 1, "messages": TEXT}
    assert post(server, path, body).status_code == 200
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    for key, changes, status, kind, told in (
        ("wrong", {}, 401, "authentication_error", "x-api-key"),
        (API_KEY, {"model": "other"}, 404, "not_found_error", "other"),
        (API_KEY, {"messages": 3}, 400, "invalid_request_error", "body.messages: "),
        (
            *(API_KEY, {"messages": [{"role": "user", "content": [picture]}]}, 400, "invalid_request_error"),
            "Image 1 (body.messages.0.content.0.source.data): The image cannot be read",
        ),
    ):
        answer = post(server, path, body | changes, key)
        assert (answer.status_code, answer.json()["type"], answer.json()["error"]["type"]) == (status, "error", kind)
        assert told in answer.json()["error"]["message"]
        assert set(answer.json()["error"]) == {"type", "message"}


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"messages": 3}, "body.messages"),
        ({"messages": None}, "body.messages"),
        ({"messages": [{"content": "Hi"}]}, "body.messages.0.role"),
        ({"temperature": "hot"}, "body.temperature"),
        ({"prune_ratio": 2}, "prune_ratio"),
    ],
)
def test_an_invocation_that_is_no_chat_is_told_why(server: Server, changes: dict[str, Any], param: str) -> None:
    answer = server.post("/invocations", {"model": MODEL, "messages": TEXT, "max_tokens": 1} | changes)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_invocations_complete_chats_and_prompts(server: Server) -> None:
    asked = {"model": MODEL, "max_tokens": 1}
    chat = server.post("/invocations", {**asked, "messages": messages([photos.china()]), "prune_ratio": 0.5}).json()
    assert chat["usage"]["visual_tokens"]["prune_ratio"] == 0.5
    assert server.post("/invocations", {**asked, "prompt": "Hi"}).json()["object"] == "text_completion"
    assert server.post("/invocations", {**asked, "prompt": {}}).json()["error"]["param"] == "body.prompt"
