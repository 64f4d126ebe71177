"""Errors of Anthropic's routes in the format of Anthropic's API, whoever responds: this server, vLLM or FastAPI."""

import json
from http import HTTPStatus
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from vllm.entrypoints.anthropic.protocol import AnthropicError, AnthropicErrorResponse

PATH = "/v1/messages"
"""Anthropic's routes begin with it."""
TYPES: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "authentication_error",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.NOT_FOUND: "not_found_error",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request_too_large",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
    HTTPStatus.SERVICE_UNAVAILABLE: "overloaded_error",
}
"""Anthropic's types of errors by status. Others are `invalid_request_error`, or `api_error` from 500 on."""


class AnthropicErrors:
    """Pure ASGI middleware, outside of all others, that converts errors of Anthropic's routes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        anthropic = scope["type"] == "http" and (path == PATH or path.startswith(f"{PATH}/"))
        await self._app(scope, receive, _converting(send) if anthropic else send)


def _converting(send: Send) -> Send:
    """Return a `send` that holds back the start of an error until its body is complete."""
    start: Message = {}
    body = bytearray()

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= HTTPStatus.BAD_REQUEST:
            start.update(message)
        elif not start or message["type"] != "http.response.body":
            await send(message)
        else:
            body.extend(message.get("body", b""))
            if not message.get("more_body", False):
                converted = anthropic_error(start["status"], bytes(body))
                MutableHeaders(scope=start).update(
                    {"Content-Length": str(len(converted)), "Content-Type": "application/json"}
                )
                await send(start)
                await send({"type": "http.response.body", "body": converted})

    return sent


def anthropic_error(status: int, body: bytes) -> bytes:
    """Return an error in the format of Anthropic's API.

    Args:
        status: of the response.
        body: of the response, in the format of OpenAI's API, of Anthropic's, or neither.
    """
    kind = "api_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    error = AnthropicError(type=TYPES.get(status, kind), message=_message(body) or f"HTTP {status}")
    return str(AnthropicErrorResponse(error=error).model_dump_json()).encode()


def _message(body: bytes) -> str:
    try:
        error: Any = json.loads(body)["error"]
    except (ValueError, LookupError, TypeError):
        return body.decode(errors="replace")
    return str(error["message"] if isinstance(error, dict) else error)
