"""Fields that their route would ignore are refused by name where they carry media or set pruning."""

from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from vllm.entrypoints.anthropic.protocol import AnthropicMessagesRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.entrypoints.serve.tokenize.protocol import TokenizeRequest
from vllm.exceptions import VLLMValidationError

from gprune_server.api.schema import PrunableBatchRequest, PrunableChatRequest, PrunableResponsesRequest
from gprune_server.guard.fields import check_fields

COMPLETIONS, MESSAGES, INVOCATIONS, TOKENIZE = "/v1/completions", "/v1/messages", "/invocations", "/tokenize"
PING = "/ping"
CHAT, BATCH, RESPONSES = "/v1/chat/completions", "/v1/chat/completions/batch", "/v1/responses"
TYPES = {
    COMPLETIONS: CompletionRequest,
    MESSAGES: AnthropicMessagesRequest,
    TOKENIZE: TokenizeRequest,
    CHAT: PrunableChatRequest,
    BATCH: PrunableBatchRequest,
    RESPONSES: PrunableResponsesRequest,
}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
TURNS = {"messages": [{"role": "user", "content": [PICTURE]}]}


def route(path: str) -> APIRoute:
    router = APIRouter()
    if path in (INVOCATIONS, PING):
        router.post(path)(lambda: None)
    else:

        def endpoint(request: Any) -> None: ...

        endpoint.__annotations__["request"] = TYPES[path]
        router.post(path)(endpoint)
    (made,) = router.routes
    assert isinstance(made, APIRoute)
    return made


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [
        (COMPLETIONS, "multi_modal_data", {"image": "data:"}),
        (COMPLETIONS, "mm_processor_kwargs", {"a": 1}),
        (COMPLETIONS, "images", ["data:"]),
        (COMPLETIONS, "image_url", "data:"),
        (COMPLETIONS, "messages", TURNS["messages"]),
        (COMPLETIONS, "content", [PICTURE]),
        (COMPLETIONS, "content", [{"type": "image_url", "url": "https://server/picture.png"}]),
        (COMPLETIONS, "extra", {"a": ["data:image/png;base64,AAAA"]}),
        (COMPLETIONS, "prune_ratio", 0.5),
        (PING, "prune_ratio", 0.5),
        (MESSAGES, "prune_ratio", 0.5),
        (MESSAGES, "multi_modal_data", {"image": "data:"}),
        (MESSAGES, "media_io_kwargs", {"image": {}}),
        (TOKENIZE, "multi_modal_data", {"image": "data:"}),
        (INVOCATIONS, "multi_modal_data", {"image": "data:"}),
        (CHAT, "images", ["data:"]),
        (CHAT, "multi_modal_data", {"image": "data:"}),
        (BATCH, "images", ["data:"]),
        (RESPONSES, "images", ["data:"]),
        (RESPONSES, "messages", TURNS["messages"]),
        (BATCH, "stream", True),
        (BATCH, "stream_options", {"include_usage": True}),
        (BATCH, "tools", [{"type": "function", "function": {"name": "zoom"}}]),
        (BATCH, "functions", [{"name": "zoom"}]),
        (BATCH, "parallel_tool_calls", False),
        (BATCH, "prompt_logprobs", 1),
        (BATCH, "best_of", 2),
        (BATCH, "length_penalty", 2.0),
        (BATCH, "early_stopping", True),
    ],
)
def test_fields_that_would_be_ignored_are_refused(path: str, field: str, value: Any) -> None:
    with pytest.raises(VLLMValidationError, match="not supported") as raised:
        check_fields(route(path), {"prompt": "Hi", field: value})
    assert raised.value.parameter == field


def test_messages_that_a_route_does_not_have_bring_no_pruning() -> None:
    body = {"prompt": "Hi", "messages": [{"role": "user", "content": "Hi"}], "prune_ratio": 0.5}
    with pytest.raises(VLLMValidationError, match="prune_ratio is not supported"):
        check_fields(route(COMPLETIONS), body)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (COMPLETIONS, {"prompt": "Hi", "messages": [{"role": "user", "content": "Hi"}], "store": True}),
        (CHAT, TURNS | {"metadata": {"image": "data:", "url": "a"}, "extra": {"url": "https://server/"}}),
        (COMPLETIONS, {"prompt": "Hi", "multi_modal_data": None, "prune_ratio": None}),
        (MESSAGES, TURNS | {"max_tokens": 1}),
        (TOKENIZE, TURNS | {"prune_ratio": 0.5, "mm_processor_kwargs": {}}),
        (INVOCATIONS, TURNS | {"prune_ratio": 0.5}),
        (CHAT, TURNS | {"prune_ratio": 0.5, "media_io_kwargs": {}, "store": True, "stream": True}),
        (RESPONSES, {"input": [PICTURE], "prune_ratio": 0.5, "mm_payload": "none"}),
        (BATCH, {"messages": [TURNS["messages"]], "prune_ratio": 0.5, "ignore_eos": True, "min_tokens": 1}),
        (BATCH, {"stream": False, "tools": [], "tool_choice": "none", "parallel_tool_calls": True, "n": 1}),
        (BATCH, {"length_penalty": 1.0, "stream_options": None}),
    ],
)
def test_other_fields_pass(path: str, body: dict[str, Any]) -> None:
    check_fields(route(path), body)


URL = "data:image/png;base64,AAAA"


def turn(*content: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content), **fields}


@pytest.mark.parametrize(
    ("path", "field", "turns"),
    [
        (CHAT, "messages", [turn(images=[URL])]),
        (CHAT, "messages", [turn({"type": "text", "text": "Hi", "image_url": {"url": URL}})]),
        (BATCH, "messages", [[turn(image=URL)]]),
        (RESPONSES, "input", [turn({"type": "input_text", "text": "Hi", "image_url": URL})]),
        (RESPONSES, "input", [{"type": "message", **turn(images=[URL])}]),
        (MESSAGES, "messages", [turn({"type": "tool_result", "content": [{"type": "text", "image": URL}]})]),
        (MESSAGES, "system", [{"type": "text", "text": "Hi", "image_url": URL}]),
    ],
)
def test_media_where_no_media_is_read_is_refused(path: str, field: str, turns: list[Any]) -> None:
    with pytest.raises(VLLMValidationError, match="would be ignored") as raised:
        check_fields(route(path), {field: turns})
    assert raised.value.parameter == field


@pytest.mark.parametrize(
    "turns",
    [
        [turn(PICTURE, {"image_url": {"url": URL}}, {"type": "input_image", "image_url": URL}, {"image": URL})],
        [turn({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}})],
        [turn({"type": "tool_use", "name": "zoom", "input": {"image": "a", "type": "b"}})],
        [turn(tool_calls=[{"type": "function", "function": {"name": "zoom", "arguments": "{}", "image": 1}}])],
        [turn(audio=None, images=[])],
        [turn({"type": "video_url", "video_url": {"url": URL}, "image_url": None})],
        "Hi",
        [1, None, {"role": 1, "type": []}],
    ],
)
def test_media_in_parts_of_their_own_pass(turns: Any) -> None:
    for path, field in ((CHAT, "messages"), (RESPONSES, "input"), (MESSAGES, "messages")):
        check_fields(route(path), {field: turns})


@pytest.mark.parametrize("path", [*TYPES, INVOCATIONS])
@pytest.mark.parametrize("field", ["prune_ratio", "visual_token_budget", "prune_method"])
def test_pruning_fields_inside_extra_body_are_refused_everywhere(path: str, field: str) -> None:
    with pytest.raises(VLLMValidationError, match=rf"{field} as a field of the body itself") as refused:
        check_fields(route(path), {"model": "m", "extra_body": {field: 0.5}})
    assert refused.value.parameter == f"extra_body.{field}"


@pytest.mark.parametrize("nested", [{}, {"top_k": 3}, "prune_ratio", None, ["prune_ratio"]])
def test_other_nested_fields_are_ignored_as_vllm_ignores_them(nested: Any) -> None:
    check_fields(route(CHAT), {"model": "m", "messages": [], "extra_body": nested})
