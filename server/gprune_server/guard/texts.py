"""Strings in a parsed JSON body, and limits on their length."""

import json
from collections.abc import Iterator
from itertools import repeat
from typing import Any

from vllm.exceptions import VLLMValidationError

PROMPTS = frozenset(
    (
        *("audio", "documents", "images", "input", "instructions", "messages", "previous_input_messages", "prompt"),
        *("prompt_embeds", "state", "system", "query", "items", "videos"),
    )
)
"""Fields with prompts. vLLM limits the tokens of these, and the media connector the images."""
SETTING_LENGTH = 64 * 1024
"""Most characters in any other field, and in a name or the like within a prompt."""
TOOLS_LENGTH = 1024 * 1024
"""Most characters of tools, and of the arguments of all calls. vLLM parses these."""
TOKENIZED_LENGTH = 1024 * 1024
"""Most characters or tokens that are converted for no model, and that no model's context limits."""
COMPILED = ("structured_outputs", "response_format", "text", "output_config", "tools")
"""Fields with schemas, which may be long without a string."""
TOKENIZING = ("/tokenize", "/detokenize")
URLS = frozenset(("url", "image_url", "audio_url", "video_url", "images", "file_url"))
NAMES = frozenset(
    (
        *("messages", "type", "role", "name", "id", "call_id", "tool_call_id", "tool_use_id", "uuid"),
        *("detail", "status"),
    )
)
"""Names of fields within a prompt whose text is neither the prompt's nor an image's."""


def strings(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield each string in a JSON value, keys included, with the name of the field that it is in.

    Args:
        value: any JSON value.
        name: name of the field that has this value.
    """
    pending: list[tuple[str, Any]] = [("", {name: value})]
    while pending:
        name, value = pending.pop()
        if isinstance(value, dict):
            yield from (("key", key) for key in value)
        for key, item in value.items() if isinstance(value, dict) else zip(repeat(name), value):
            if isinstance(item, str):
                yield key, item
            elif isinstance(item, (list, dict)) and item:
                pending.append((key, item))


def check_lengths(path: str, body: dict[str, Any]) -> None:
    """Check the lengths of strings that take long to handle, such as the patterns of structured output.

    Raises:
        VLLMValidationError: one is too long; the error names the field of the body.
    """
    for field, value in body.items():
        if field in PROMPTS:
            _check_prompt(field, value)
        elif field != "tokens":
            length = (
                len(json.dumps(value)) if field in COMPILED else sum(len(text) for _, text in strings(value, field))
            )
            _check_length(field, field, length, TOOLS_LENGTH if field == "tools" else SETTING_LENGTH)
        if path in TOKENIZING:
            tokens = len(value) if isinstance(value, list) else 0
            length = sum(len(text) for _, text in strings(value, field) if not text.startswith("data:"))
            _check_length(field, field, tokens + length, TOKENIZED_LENGTH)


def _check_prompt(field: str, value: Any) -> None:
    """Check what is neither text nor an image in a prompt."""
    arguments = 0
    for name, text in strings(value, field):
        if name in NAMES or (name in URLS and not text.startswith("data:")):
            _check_length(field, name, len(text), SETTING_LENGTH)
        arguments += len(text) if name == "arguments" else 0
    _check_length(field, "arguments", arguments, TOOLS_LENGTH)


def _check_length(field: str, name: str, length: int, limit: int) -> None:
    field, name = field[:100], name[:100]
    if length > limit:
        where = name if name == field else f"{name} in {field}"
        raise VLLMValidationError(
            f"{where} has {length} characters, but the limit is {limit}. Send less.", parameter=field
        )
