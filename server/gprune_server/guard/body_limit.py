"""A limit on the size of request bodies."""

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """Pure ASGI middleware that answers 413 to a body of more than `max_bytes` bytes before anything parses it.

    A body that declares its length is refused unread. One that does not is refused where it passes the limit.
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
                raise self._refusal()
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise self._refusal()
            return message

        await self._app(scope, limited, send)

    def _refusal(self) -> HTTPException:
        """Raised into whoever reads the body, so that vLLM's own handler words the answer."""
        return HTTPException(413, f"The request body exceeds {self._max_bytes} bytes (--max-request-bytes).")


def declared_length(scope: Scope) -> int:
    """The value of Content-Length; 0 where there is none that is a number."""
    value = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(value) if value.isdigit() else 0
