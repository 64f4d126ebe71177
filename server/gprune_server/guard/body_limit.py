"""Limit on the size of request bodies."""

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """Pure ASGI middleware that responds 413 to a body of more than `max_bytes` bytes before anything parses it.

    A body that declares its length is refused unread, any other as soon as it exceeds the limit.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received = 0

        async def limited() -> Message:
            nonlocal received
            if declared_length(scope) > self._max_bytes:
                self._refuse()
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                self._refuse()
            return message

        await self._app(scope, limited, send)

    def _refuse(self) -> None:
        """Raise in whatever reads the body, so that vLLM's handler formats the response."""
        raise HTTPException(
            413, f"The request body exceeds {self._max_bytes} bytes (--max-request-bytes). Send a smaller one."
        )


def declared_length(scope: Scope) -> int:
    """Return the value of Content-Length, or 0 if it is missing or not a number."""
    value = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(value) if value.isdigit() else 0
