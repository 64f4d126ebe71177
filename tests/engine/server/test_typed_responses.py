"""Every kind of answer is what the types of the `openai` package say, strictly, and fields they lack break none."""

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai.types import Completion, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.shared import ErrorObject
from pydantic import TypeAdapter, ValidationError

from tests.support import photos
from tests.support.questions import messages
from tests.support.servers import API_KEY, MODEL, Server

IMAGES = [photos.generated(200, 150)]
CHAT = {"messages": messages(IMAGES), "max_tokens": 3, "prune_ratio": 0.7}
PICTURE = {"type": "input_image", "image_url": photos.data_url(IMAGES[0]), "detail": "auto"}
RESPONSE = {"input": [{"role": "user", "content": [PICTURE]}], "max_output_tokens": 3, "prune_ratio": 0.7}
COMPLETION = {"prompt": "Hello", "max_tokens": 3}
TOOL = {"name": "zoom", "parameters": {"type": "object", "properties": {}}}
SCHEMA = {"name": "answer", "schema": {"type": "object"}}

CHATS: dict[str, dict[str, Any]] = {
    "plain": {},
    "text only": {"messages": messages([])},
    "budget": {"prune_ratio": None, "visual_token_budget": 30, "prune_method": "tome"},
    "log-probabilities": {"logprobs": True, "top_logprobs": 3},
    "prompt log-probabilities": {"prompt_logprobs": 2, "stream": False},
    "choices": {"n": 2},
    "beams": {"n": 2, "use_beam_search": True},
    "token ids": {"return_token_ids": True},
    "stop": {"stop_token_ids": list(range(256))},
    "tools": {"tools": [{"type": "function", "function": TOOL}], "tool_choice": "none"},
    "JSON": {"response_format": {"type": "json_schema", "json_schema": SCHEMA}},
}
RESPONSES: dict[str, dict[str, Any]] = {
    "plain": {},
    "text only": {"input": "Hello"},
    "instructions": {"instructions": "Be brief.", "metadata": {"a": "b"}},
    "log-probabilities": {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
    "tools": {"tools": [{"type": "function", **TOOL}], "tool_choice": "none"},
    "JSON": {"text": {"format": {"type": "json_schema", **SCHEMA}}},
}


def events(server: Server, path: str, body: dict[str, Any]) -> Iterator[str]:
    """The events of a stream, as JSON text."""
    answer = server.post(path, {"model": MODEL, **body, "stream": True})
    assert answer.headers["Content-Type"].startswith("text/event-stream"), answer.text
    found = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    assert found
    yield from found


def validated(kind: Any, text: str) -> Any:
    return TypeAdapter(kind).validate_json(text, strict=True)


def misfits(kind: Any, text: str) -> set[Any]:
    """Places and values that are not what the type says."""
    try:
        validated(kind, text)
    except ValidationError as error:
        return {(detail["loc"], detail["input"]) for detail in error.errors()}
    return set()


def told(usage: Any) -> Any:
    """The visual tokens of a usage, present where there are images."""
    return (usage.model_extra or {}).get("visual_tokens")


@pytest.mark.parametrize("asked", CHATS.values(), ids=CHATS)
def test_chats(server: Server, asked: dict[str, Any]) -> None:
    answer = server.post("/v1/chat/completions", {"model": MODEL, **CHAT, **asked})
    completion = validated(ChatCompletion, answer.text)
    assert len(completion.choices) == asked.get("n", 1)
    assert bool(told(completion.usage)) == ("messages" not in asked)


@pytest.mark.parametrize("asked", [asked for asked in CHATS.values() if "stream" not in asked])
def test_streams_of_chats(server: Server, asked: dict[str, Any]) -> None:
    body = CHAT | asked | {"stream_options": {"include_usage": True}}
    *_, last = [validated(ChatCompletionChunk, text) for text in events(server, "/v1/chat/completions", body)]
    assert bool(told(last.usage)) == ("messages" not in asked)


def test_batches(server: Server) -> None:
    body = CHAT | {"model": MODEL, "messages": [messages(IMAGES), messages([])]}
    completion = validated(ChatCompletion, server.post("/v1/chat/completions/batch", body).text)
    assert [choice.index for choice in completion.choices] == [0, 1]
    assert told(completion.usage)


@pytest.mark.parametrize("asked", RESPONSES.values(), ids=RESPONSES)
def test_responses_and_their_streams(server: Server, asked: dict[str, Any]) -> None:
    body = RESPONSE | asked
    response = validated(Response, server.post("/v1/responses", {"model": MODEL, **body}).text)
    *_, last = [validated(ResponseStreamEvent, text) for text in events(server, "/v1/responses", body)]
    assert last.type in ("response.completed", "response.incomplete")
    assert bool(told(response.usage)) == bool(told(last.response.usage)) == ("input" not in asked)


@pytest.mark.parametrize("asked", [{}, {"logprobs": 2}, {"prompt": ["Hello", "World"], "n": 2}])
def test_completions_and_their_streams(server: Server, asked: dict[str, Any]) -> None:
    body = COMPLETION | asked
    assert validated(Completion, server.post("/v1/completions", {"model": MODEL, **body}).text).choices
    # OpenAI itself streams null before the last chunk, and has no type for such chunks.
    permitted = {(("choices", 0, "finish_reason"), None)}
    assert set().union(*(misfits(Completion, text) for text in events(server, "/v1/completions", body))) == permitted


def test_models(server: Server) -> None:
    answer = httpx.get(f"{server.url}/v1/models", headers={"Authorization": f"Bearer {API_KEY}"}, timeout=60).json()
    assert answer["object"] == "list"
    for model in answer["data"]:
        assert TypeAdapter(Model).validate_python(model, strict=True).id == MODEL


@pytest.mark.parametrize(
    ("path", "wrong", "kind"),
    [
        ("/v1/chat/completions", CHAT | {"prune_ratio": 2}, openai.BadRequestError),
        ("/v1/chat/completions", CHAT | {"max_tokens": 0}, openai.BadRequestError),
        ("/v1/chat/completions", {}, openai.BadRequestError),
        ("/v1/chat/completions/batch", CHAT, openai.BadRequestError),
        ("/v1/responses", RESPONSE | {"prune_method": "best"}, openai.BadRequestError),
        ("/v1/responses", RESPONSE | {"model": "another"}, openai.NotFoundError),
        ("/v1/completions", COMPLETION | {"model": "another"}, openai.NotFoundError),
    ],
)
def test_errors(server: Server, path: str, wrong: dict[str, Any], kind: type[openai.APIStatusError]) -> None:
    with pytest.raises(kind) as raised:
        server.client.post(path.removeprefix("/v1"), cast_to=object, body={"model": MODEL, **wrong})
    error: Any = raised.value.response.json()["error"]
    # vLLM's codes are numbers, OpenAI's are names.
    assert TypeAdapter(ErrorObject).validate_python(error | {"code": str(error["code"])}, strict=True).message
    assert error["code"] == raised.value.status_code
