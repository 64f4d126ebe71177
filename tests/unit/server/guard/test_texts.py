"""Strings are found wherever they are in a body, and those that take long to handle are limited."""

from typing import Any

import pytest
from vllm.exceptions import VLLMValidationError

from gprune_server.guard.texts import SETTING_LENGTH, TOKENIZED_LENGTH, TOOLS_LENGTH, check_lengths, strings

CHAT = "/v1/chat/completions"
LONG = "x" * (SETTING_LENGTH + 1)


def content(part: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [part]}]}


def test_strings_have_the_name_of_their_field() -> None:
    found = set(strings([{"a": ["b", {"c": "d"}], "e": [1, None, []]}, "f"], "g"))
    assert found == {("key", "g"), ("key", "a"), ("key", "e"), ("a", "b"), ("key", "c"), ("c", "d"), ("g", "f")}


def test_nesting_does_not_exhaust_the_stack() -> None:
    nested: Any = "x"
    for _ in range(100_000):
        nested = [nested]
    assert ("a", "x") in set(strings(nested, "a"))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"model": LONG}, "model"),
        ({"stop": [LONG]}, "stop"),
        ({"stop": ["x"] * SETTING_LENGTH + ["xx"]}, "stop"),
        ({"bad_words": [LONG]}, "bad_words"),
        ({"structured_outputs": {"regex": LONG}}, "structured_outputs"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {LONG: {}}}}}, "response_format"),
        ({"structured_outputs": {"json": {"enum": [1] * SETTING_LENGTH}}}, "structured_outputs"),
        ({"request_id": LONG}, "request_id"),
        ({"chat_template_kwargs": {"a": LONG}}, "chat_template_kwargs"),
        ({"tools": [{"function": {"name": "x" * TOOLS_LENGTH}}]}, "tools"),
        ({"messages": LONG}, "messages"),
        ({"messages": [{"role": LONG}]}, "messages"),
        (content({"type": LONG}), "messages"),
        (content({"type": "image_url", "image_url": {"url": LONG}}), "messages"),
        ({"images": [LONG]}, "images"),
        ({"messages": [{"tool_calls": [{"function": {"arguments": "x" * 600_000}}] * 2}]}, "messages"),
        ({LONG: 1}, LONG[:100]),
    ],
)
def test_long_settings_are_refused(body: dict[str, Any], field: str) -> None:
    with pytest.raises(VLLMValidationError, match="but the limit is") as raised:
        check_lengths(CHAT, body)
    assert raised.value.parameter == field
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(
    "body",
    [
        content({"type": "text", "text": LONG * 9}),
        content({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{LONG}"}}),
        {"prompt": LONG * 9},
        {"tools": [{"function": {"name": "x" * (TOOLS_LENGTH - 100)}}]},
        {"stop": ["x" * 60_000]},
        {"allowed_token_ids": [1] * 100_000},
    ],
)
def test_prompts_and_images_are_as_long_as_the_model_takes(body: dict[str, Any]) -> None:
    check_lengths(CHAT, body)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/tokenize", {"prompt": "x" * (TOKENIZED_LENGTH + 1)}, "prompt"),
        ("/tokenize", content({"type": "text", "text": "x" * TOKENIZED_LENGTH}), "messages"),
        ("/detokenize", {"tokens": [1] * (TOKENIZED_LENGTH + 1)}, "tokens"),
    ],
)
def test_what_is_tokenized_for_no_model_is_limited(path: str, body: dict[str, Any], field: str) -> None:
    with pytest.raises(VLLMValidationError) as raised:
        check_lengths(path, body)
    assert raised.value.parameter == field
