"""Errors of Anthropic's routes have the format of Anthropic's API, whoever responds."""

import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import JSONResponse, PlainTextResponse, Response

from gprune_server.api.anthropic_errors import AnthropicErrors

OPENAI = {"error": {"message": "No.", "type": "BadRequestError", "param": "a", "code": 400}}
HEADERS = {"Retry-After": "5", "Access-Control-Allow-Origin": "*"}


async def answered(response: Response, path: str = "/v1/messages") -> httpx.Response:
    app = FastAPI()
    app.add_middleware(AnthropicErrors)
    app.add_api_route("/{path:path}", lambda: response)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
        return await client.get(path)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (405, "invalid_request_error"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "overloaded_error"),
        (529, "api_error"),
    ],
)
@pytest.mark.parametrize(
    "body", [OPENAI, {"type": "error", "error": {"type": "x", "message": "No."}}, {"error": "No."}]
)
async def test_errors_have_anthropics_types(status: int, kind: str, body: Any) -> None:
    answer = await answered(JSONResponse(body, status, HEADERS), "/v1/messages/count_tokens")
    assert answer.status_code == status
    assert answer.json() == {"type": "error", "error": {"type": kind, "message": "No."}}
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert int(answer.headers["Content-Length"]) == len(answer.content)


@pytest.mark.parametrize(("text", "message"), [("Too bad", "Too bad"), ("", "HTTP 400"), ("[1]", "[1]")])
async def test_errors_of_no_format_are_converted_too(text: str, message: str) -> None:
    assert (await answered(PlainTextResponse(text, 400))).json()["error"]["message"] == message


@pytest.mark.parametrize("path", ["/v1/messages2", "/v1/chat/completions"])
async def test_other_routes_keep_theirs(path: str) -> None:
    assert (await answered(JSONResponse(OPENAI, 400), path)).json() == OPENAI


async def test_answers_pass() -> None:
    answer = await answered(JSONResponse({"error": {"message": "no error"}}))
    assert json.loads(answer.content) == {"error": {"message": "no error"}}
