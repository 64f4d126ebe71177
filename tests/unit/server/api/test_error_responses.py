"""Errors name the place in the body, in a sentence, whoever found them."""

import json
from argparse import Namespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.middleware import Middleware
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.entrypoints.serve.exception_handling.register import init_exception_handler
from vllm.exceptions import VLLMNotFoundError, VLLMValidationError
from vllm.renderers.chat_utils import MM_PARSER_MAP

from gprune_server.api.error_responses import with_handlers
from gprune_server.api.schema import PrunableChatRequest, PrunableResponsesRequest
from gprune_server.errors import handle_errors
from gprune_server.guard.image_error import ImageError, ImageFetchError

TEXT = {"role": "user", "content": "Hi"}
INSIDES = ("pydantic", "input_value", "'loc'", " at 0x", "(parameter")
BROKEN, URL = "data:image/png;base64,AAAA", "https://example.com/a.png"


def application(raised: Exception | None = None) -> FastAPI:
    """Routes with vLLM's bodies and handlers, and ours as the plugin adds them."""
    app = FastAPI()
    app.state.args = Namespace(log_error_stack=False)
    handle_errors(app)
    app.user_middleware.append(Middleware(with_handlers))
    init_exception_handler(app)

    def answer() -> None:
        if raised is not None:
            raised.__traceback__ = None
            raise raised

    @app.post("/chat")
    def chat(body: PrunableChatRequest) -> None:
        answer()
        for message in body.messages:  # as vLLM's renderer, which validates parts only then
            for part in () if isinstance(message["content"], str) else message["content"]:
                MM_PARSER_MAP[part["type"]](part)

    @app.post("/completions")
    def completions(body: CompletionRequest) -> None: ...

    @app.post("/responses")
    def responses(body: PrunableResponsesRequest) -> None: ...

    @app.post("/any")
    async def anything(raw_request: Request) -> None:
        await raw_request.json()
        answer()

    return app


async def refusal(path: str, body: Any, raised: Exception | None = None, status: int = 400) -> dict[str, Any]:
    transport = httpx.ASGITransport(application(raised))
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        text = body if isinstance(body, str) else json.dumps(body)
        answer = await client.post(path, content=text, headers={"Content-Type": "application/json"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], set(error)) == (status, status, {"message", "type", "param", "code"})
    assert not [
        hint for hint in ("pydantic", "input_value", "'loc'", " at 0x", "(parameter") if hint in error["message"]
    ]
    assert len(error["message"]) < 1000
    return dict(error)


def chat(*parts: Any, **fields: Any) -> dict[str, Any]:
    return {"messages": [TEXT, {"role": "user", "content": [{"type": "text", "text": "Hi"}, *parts]}], **fields}


FIRST, PART = "body.messages.0.content.0", "body.messages.1.content.1"


@pytest.mark.parametrize(
    ("path", "body", "param", "told"),
    [
        ("/chat", chat({"type": "image_url"}), f"{PART}.image_url", "Field required"),
        ("/chat", chat({"type": "image_url", "image_url": {}}), f"{PART}.image_url.url", "Field required"),
        ("/chat", chat({"type": "image_url", "image_url": {"url": 3}}), f"{PART}.image_url.url", "a valid string"),
        ("/chat", chat(3), PART, "a valid dictionary"),
        ("/chat", {"messages": 3}, "body.messages", "a valid list"),
        ("/chat", {"messages": None}, "body.messages", "a valid list"),
        ("/chat", {}, "body.messages", "Field required"),
        ("/chat", {"messages": [3]}, "body.messages.0", "a valid dictionary"),
        ("/chat", {"messages": [{"content": "Hi"}]}, "body.messages.0.role", "Field required"),
        ("/chat", chat(temperature="hot"), "body.temperature", "a valid number"),
        ("/chat", chat(stop=["a", 3]), "body.stop.1", "a valid string"),
        ("/chat", [], "body", "a valid dictionary"),
        ("/chat", '{"messages": ', "body", "not JSON"),
        ("/completions", {"prompt": {}}, "body.prompt", "a valid string"),
        ("/completions", {"prompt": "Hi", "structured_outputs": 3}, "body.structured_outputs", "a dictionary"),
        ("/responses", {"input": 3}, "body.input", "a valid list"),
        (
            "/responses",
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": 3, "detail": "auto"}]}]},
            "body.input.0.content.0.image_url",
            "a valid string",
        ),
    ],
)
async def test_bodies_that_cannot_be_validated(path: str, body: Any, param: str, told: str) -> None:
    error = await refusal(path, body)
    assert error["param"] == param
    assert told in error["message"]


@pytest.mark.parametrize("body", [{"x" * 5000: 1}, {"messages": [TEXT], "temperature": "x" * 5000}])
async def test_long_names_and_values_are_not_repeated(body: Any) -> None:
    await refusal("/chat", body)


def image(url: str = BROKEN) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


BATCH = {"messages": [[TEXT], [TEXT, {"role": "user", "content": [image(URL), image()]}]]}


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        (chat(image(URL), image()), "body.messages.1.content.2.image_url.url", "Image 2"),
        (chat({"image_url": BROKEN}), f"{PART}.image_url", "Image 1"),
        (BATCH, "body.messages.1.1.content.1.image_url.url", "Image 2 of conversation 2"),
        ({"input": [{"content": [{"image_url": BROKEN}]}]}, "body.input.0.content.0.image_url", "Image 1"),
        ({"images": [URL, BROKEN]}, "body.images.1", "Image 2"),
        (
            {"messages": [{"content": [{"source": {"data": "AAAA"}}]}]},
            "body.messages.0.content.0.source.data",
            "Image 1",
        ),
    ],
)
@pytest.mark.parametrize(("kind", "status"), [(ImageError, 400), (ImageFetchError, 422)])
async def test_images_are_named_by_number_and_place(
    body: Any, param: str, words: str, kind: type[ImageError | ImageFetchError], status: int
) -> None:
    raised = kind("The image cannot be read.")
    raised.value = BROKEN
    error = await refusal("/any", body, raised, status)
    assert (error["param"], error["message"]) == (param, f"{words} ({param}): The image cannot be read.")


async def test_an_image_that_is_not_in_the_body() -> None:
    raised = ImageError("The image cannot be read.")
    raised.value = BROKEN
    error = await refusal("/any", {"previous_response_id": "a"}, raised)
    assert (error["param"], error["message"]) == ("image_url", "The image cannot be read.")


async def test_an_empty_url() -> None:
    error = await refusal("/any", chat(image()) | chat(image("")), ValueError("multi_modal_data is empty"))
    assert error["param"] == f"{PART}.image_url.url"
    assert "its URL is empty. A data: URL looks like data:image/png;base64," in error["message"]


@pytest.mark.parametrize(
    ("raised", "param", "told"),
    [
        (VLLMValidationError("No.", parameter="seed", value=1), "seed", "No."),
        (VLLMValidationError("No.", parameter="type", value="odd"), f"{PART}.type", "No."),
        (ValueError("`top_k` must be at least -1"), "top_k", "`top_k` must be at least -1"),
        (ValueError("No such field"), None, "No such field"),
    ],
)
async def test_errors_of_vllm(raised: Exception, param: str | None, told: str) -> None:
    error = await refusal("/any", chat({"type": "odd"}, top_k=-3), raised)
    assert (error["param"], error["message"]) == (param, told)


@pytest.mark.parametrize(
    ("raised", "status"), [(VLLMNotFoundError("No."), 404), (KeyError("a"), 500), (AttributeError("a"), 500)]
)
async def test_other_errors_keep_their_status(raised: Exception, status: int) -> None:
    await refusal("/any", {}, raised, status)
