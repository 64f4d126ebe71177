"""The shape of a refusal for want of an API key."""

import json

from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY = json.dumps(
    {
        "error": {
            "message": "Incorrect API key provided, or none: send it as `Authorization: Bearer KEY`.",
            "type": "AuthenticationError",
            "param": None,
            "code": 401,
        }
    }
).encode()
HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(BODY)).encode()),
    (b"www-authenticate", b"Bearer"),
]


class UnauthorizedShape:
    """Pure ASGI middleware that gives a 401 the shape that OpenAI's clients read.

    vLLM 0.32's `AuthenticationMiddleware` answers `{"error": "Unauthorized"}`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replacing = False

        async def shaped(message: Message) -> None:
            nonlocal replacing
            if message["type"] == "http.response.start":
                replacing = message["status"] == 401
                message = {**message, "headers": HEADERS} if replacing else message
            elif replacing and message["type"] == "http.response.body":
                message = {"type": "http.response.body", "body": BODY}
            await send(message)

        await self._app(scope, receive, shaped if scope["type"] == "http" else send)
