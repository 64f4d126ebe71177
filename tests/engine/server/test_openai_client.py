"""The unmodified `openai` package gets what it expects, plus `usage.visual_tokens`."""

from typing import Any

import openai
import pytest

from tests.support import photos
from tests.support.photos import data_url
from tests.support.questions import messages
from tests.support.servers import MODEL, Server

IMAGES = [photos.china()]
VISUAL_TOKENS = {"input": 234, "kept": 77, "images": 1, "videos": 0, "prune_ratio": 0.7, "method": "gprune"}
PRUNED = {"prune_ratio": 0.7}
TOOL = {
    "type": "function",
    "function": {"name": "zoom", "description": "Look closer.", "parameters": {"type": "object", "properties": {}}},
}


def complete(server: Server, **arguments: Any) -> Any:
    arguments = {"messages": messages(IMAGES), "extra_body": PRUNED, "max_tokens": 4, "temperature": 0} | arguments
    return server.client.chat.completions.create(model=MODEL, **arguments)


def extra(usage: Any) -> Any:
    return usage.model_extra["visual_tokens"]


def test_plain_completion_tells_visual_tokens(server: Server) -> None:
    completion = complete(server)
    assert completion.choices[0].message.content
    assert completion.usage.completion_tokens == 4
    assert extra(completion.usage) == VISUAL_TOKENS


def test_completion_without_images_tells_none(server: Server) -> None:
    completion = complete(server, messages=[{"role": "user", "content": "Hello"}])
    assert "visual_tokens" not in (completion.usage.model_extra or {})


def test_ratio_zero_and_default_are_told_as_zero(server: Server) -> None:
    for body in ({}, {"prune_ratio": None}, {"prune_ratio": 0}):
        assert extra(complete(server, extra_body=body).usage) == VISUAL_TOKENS | {"kept": 234, "prune_ratio": 0.0}


def test_stream_carries_the_same_text_and_no_usage_unasked(server: Server) -> None:
    chunks = list(complete(server, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == complete(server).choices[0].message.content
    assert all(chunk.usage is None for chunk in chunks)


def test_usage_chunk_of_a_stream_tells_visual_tokens(server: Server) -> None:
    *_, last = complete(server, stream=True, stream_options={"include_usage": True})
    assert last.choices == []
    assert extra(last.usage) == VISUAL_TOKENS


def test_continuous_usage_tells_visual_tokens_in_every_chunk(server: Server) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    for chunk in complete(server, stream=True, stream_options=options):
        assert extra(chunk.usage) == VISUAL_TOKENS


def test_several_choices_are_counted_once(server: Server) -> None:
    completion = complete(server, n=2, temperature=1)
    assert len(completion.choices) == 2
    assert extra(completion.usage) == VISUAL_TOKENS


def test_tools_are_accepted(server: Server) -> None:
    completion = complete(server, tools=[TOOL], tool_choice="none")
    assert extra(completion.usage) == VISUAL_TOKENS


def test_batch_of_conversations_is_summed(server: Server) -> None:
    body = {"model": MODEL, "messages": [messages(IMAGES), messages(IMAGES)], "max_tokens": 2, **PRUNED}
    answer = server.post("/v1/chat/completions/batch", body).json()
    assert len(answer["choices"]) == 2
    assert answer["usage"]["visual_tokens"] == VISUAL_TOKENS | {"input": 468, "kept": 154, "images": 2}


def test_budgets_and_methods_are_taken_by_every_endpoint(server: Server) -> None:
    asked = {"visual_token_budget": 112, "prune_method": "tome"}
    told = {"input": 234, "kept": 122, "images": 1, "videos": 0, "prune_ratio": 0.5, "method": "tome", "budget": 112}
    assert extra(complete(server, extra_body=asked).usage) == told
    body = {"model": MODEL, "messages": [messages(IMAGES), messages(IMAGES)], "max_tokens": 2, **asked}
    batch = server.post("/v1/chat/completions/batch", body).json()["usage"]["visual_tokens"]
    assert batch == told | {"input": 468, "kept": 244, "images": 2}
    content = [{"type": "input_image", "image_url": data_url(IMAGES[0]), "detail": "auto"}]
    turn = [{"role": "user", "content": content}]
    response = server.client.responses.create(model=MODEL, input=turn, max_output_tokens=2, extra_body=asked)  # type: ignore[call-overload]
    assert extra(response.usage) == told


def test_responses_tell_visual_tokens_streamed_or_not(server: Server) -> None:
    picture = {"type": "input_image", "image_url": data_url(IMAGES[0]), "detail": "auto"}
    arguments: dict[str, Any] = {
        "model": MODEL,
        "input": [{"role": "user", "content": [picture, {"type": "input_text", "text": "What is this?"}]}],
        "max_output_tokens": 4,
        "extra_body": PRUNED,
    }
    plain = server.client.responses.create(**arguments)
    *_, completed = server.client.responses.create(**arguments, stream=True)
    assert extra(plain.usage) == extra(completed.response.usage) == VISUAL_TOKENS


def test_wrong_api_key_is_refused(server: Server) -> None:
    stranger = server.client.with_options(api_key="wrong")
    with pytest.raises(openai.AuthenticationError):
        stranger.chat.completions.create(model=MODEL, messages=messages(IMAGES), extra_body=PRUNED)


def test_other_endpoints_take_images_unpruned(server: Server) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": data_url(IMAGES[0]).partition(",")[2]}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is this?"}]
    body = {"model": MODEL, "messages": [{"role": "user", "content": content}], "max_tokens": 2}
    answer = server.post("/v1/messages", body)
    assert answer.status_code == 200
    usage = answer.json()["usage"]
    assert usage["input_tokens"] + (usage.get("cache_read_input_tokens") or 0) > 234


@pytest.mark.parametrize("detail", ["low", "high", "auto"])
def test_detail_has_no_effect(server: Server, detail: str) -> None:
    (turn,) = messages(IMAGES)
    turn["content"][0]["image_url"]["detail"] = detail
    assert extra(complete(server, messages=[turn]).usage) == VISUAL_TOKENS
