"""Requests that a server must refuse."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from PIL import Image

from tests.support.fuzzing.requests import BATCH_PATH, CHAT_PATH, ENDPOINTS, RESPONSES_PATH, Case
from tests.support.photos import data_url
from tests.support.servers import MODEL

PATHS = (CHAT_PATH, BATCH_PATH, RESPONSES_PATH)
SMALL = Image.new("RGB", (8, 8), "teal")
IMAGE = "body.messages.0.content.0.image_url.url"
MOST_IMAGES = 16
"""What a prompt may have at most, by default."""
PLACEHOLDER = "<image>"
"""Stands for an image in the served model's prompts, and is its token 3."""
LONG = '"' + "x" * 9999 + '"'
VALUES = {
    "prune_ratio": ('"0.5"', "true", "NaN", "1", "-0.1", "1e400", "-Infinity", "[]", "{}", "1" + "0" * 400, LONG),
    "visual_token_budget": ("0", "-1", "1.5", "5.0", "true", '"5"', "[]", "NaN", "-1" + "0" * 400),
    "prune_method": ('"best"', '"fastv"', '""', "1", "[]", "{}", LONG),
}
"""What the fields may not have, as it is written in JSON."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A request with a name for it, and the field that its refusal names, if it is ours."""

    name: str
    case: Case
    field: str | None = None


def pruning() -> Iterator[Refused]:
    """What asks for no pruning there is: each value at one endpoint, and each endpoint with values of each field."""
    paths = cycle(PATHS)
    for field, values in VALUES.items():
        for value in values:
            yield with_text(next(paths), field, f'"{field}": {value}')
    for path in PATHS:
        yield with_text(path, "visual_token_budget", '"prune_ratio": 0, "visual_token_budget": 100')


def with_text(path: str, field: str, fields: str) -> Refused:
    """A prompt without images that has these fields, written in JSON as they are."""
    body = json.dumps(ENDPOINTS[path].plain())[:-1] + f", {fields}}}"
    return Refused(f"{path} {fields[:40]}", Case(path, body.encode()), field)


def with_pictures(name: str, *urls: str, field: str | None = None, **fields: Any) -> Refused:
    """A chat with these pictures, or with one that is in order, and these fields."""
    pictures = [{"type": "image_url", "image_url": {"url": url}} for url in urls or (data_url(SMALL),)]
    messages = [{"role": "user", "content": [*pictures, {"type": "text", "text": "What is it?"}]}]
    body = {"model": MODEL, "messages": messages, "max_tokens": 1, **fields}
    return Refused(name, Case(CHAT_PATH, json.dumps(body).encode()), field)


def ignored() -> Iterator[Refused]:
    """Fields that an endpoint would ignore, or could not honour."""
    picture = json.dumps({"image": data_url(SMALL)})
    for path in (CHAT_PATH, BATCH_PATH, RESPONSES_PATH, "/v1/completions", "/v1/messages", "/tokenize"):
        yield with_text(path, "multi_modal_data", f'"multi_modal_data": {picture}')
    yield with_text("/v1/completions", "image_url", f'"image_url": {picture}')
    yield Refused("invocations", Case("/invocations", f'{{"prompt": "a", "images": {picture}}}'.encode()), "images")
    yield with_text("/v1/completions", "prune_method", '"prune_method": "gprune"')
    yield with_text("/v1/messages", "visual_token_budget", '"visual_token_budget": 9')
    tool = '[{"type": "function", "function": {"name": "zoom", "parameters": {}}}]'
    unbatched = {"stream": "true", "stream_options": '{"include_usage": true}', "tools": tool, "best_of": "2"}
    for field, value in (unbatched | {"prompt_logprobs": "1", "parallel_tool_calls": "false"}).items():
        yield with_text(BATCH_PATH, field, f'"{field}": {value}')


def placeholders() -> Iterator[Refused]:
    """Text that stands for an image."""
    turn = json.dumps([{"role": "user", "content": PLACEHOLDER}])
    for path in (CHAT_PATH, "/v1/messages", "/tokenize"):
        yield with_text(path, "messages", f'"messages": {turn}')
    yield with_text(BATCH_PATH, "messages", f'"messages": [{turn}]')
    yield with_text(CHAT_PATH, "chat_template_kwargs", f'"chat_template_kwargs": {{"a": "{PLACEHOLDER}"}}')
    yield with_text(RESPONSES_PATH, "input", f'"input": {turn}')
    yield with_text(RESPONSES_PATH, "instructions", f'"instructions": "{PLACEHOLDER}"')
    invoked = f'{{"messages": {turn}, "max_tokens": 1}}'.encode()
    yield Refused("invocations with a placeholder", Case("/invocations", invoked), "messages")
    yield with_text("/v1/messages", "system", f'"system": "{PLACEHOLDER}"')
    for prompt in (f'"a {PLACEHOLDER} b"', f'["a", "{PLACEHOLDER}"]', "[1, 3]", "[[1], [3]]"):
        yield with_text("/v1/completions", "prompt", f'"prompt": {prompt}')


REFUSED = (
    *pruning(),
    *ignored(),
    *placeholders(),
    with_pictures("fastv with a picture", field="prune_method", prune_method="fastv"),
    with_pictures("a ratio of one with a picture", field="prune_ratio", prune_ratio=1),
    with_pictures("a processor's ratio", field="mm_processor_kwargs", mm_processor_kwargs={"prune_ratio": 0.5}),
    with_pictures("a processor's settings", field="mm_processor_kwargs", mm_processor_kwargs={"prune_settings": "x"}),
    with_pictures("a processor's method", field="mm_processor_kwargs", mm_processor_kwargs={"prune_method": "tome"}),
    with_pictures("a processor's own", field="mm_processor_kwargs", mm_processor_kwargs={"do_resize": False}),
    with_pictures("too many answers", n=1000),
    with_pictures("no length", max_tokens=-1),
    with_pictures("another model", model="no such model"),
    with_pictures("no messages", messages=[]),
    with_pictures("a broken picture", "data:image/png;base64,AAAA", field=IMAGE),
    with_pictures("a truncated picture", data_url(SMALL)[:-40], field=IMAGE),
    with_pictures("a picture of another format", data_url(SMALL, "BMP"), field=IMAGE),
    with_pictures("HEIC", "data:image/heic;base64,AAAAGGZ0eXBoZWljAAAAAG1pZjFoZWlj", field=IMAGE),
    with_pictures("no Base64", "data:image/png;base64,AA!A", field=IMAGE),
    with_pictures("bare Base64", data_url(SMALL).partition(",")[2], field=IMAGE),
    with_pictures("an empty URL", "", field=IMAGE),
    with_pictures("a picture from the host itself", "http://localhost/picture.png", field=IMAGE),
    with_pictures("a file", "file:///etc/hostname", field=IMAGE),
    with_pictures("a picture too narrow", data_url(Image.new("RGB", (2, 1000))), field=IMAGE),
    with_pictures("too many pictures", *[data_url(SMALL)] * (MOST_IMAGES + 1)),
    Refused("no JSON", Case(CHAT_PATH, b'{"model": ')),
    Refused("no object", Case(CHAT_PATH, b"[]")),
    Refused("no UTF-8", Case(CHAT_PATH, b'{"model": "\xff"}')),
    Refused("no route", Case("/v1/no/such/route", b"{}")),
)
