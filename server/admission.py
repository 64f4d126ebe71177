"""A limit on the requests that wait: those beyond it are told to come again, while they could still go elsewhere."""

from fastapi import HTTPException
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

GENERATING = ("/completions", "/completions/batch", "/responses", "/messages", "/generate", "/invocations")
"""How the paths end whose requests wait for the engine."""
RETRY_AFTER = 5
"""Seconds after which a client may try again."""


class Admission:
    """Pure ASGI middleware that answers 503 to generating requests while `app.state.gprune_capacity` are under way.

    Without such a capacity all are admitted.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].endswith(GENERATING):
            await self._app(scope, receive, send)
            return
        capacity = getattr(scope["app"].state, "gprune_capacity", None)
        if capacity is not None and self._under_way >= capacity:
            await self._app(scope, refuse, _with_retry_after(send))
            return
        self._under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= 1


async def refuse() -> Message:
    """Raised into whoever reads the body, so that vLLM's own handler words the answer and its metrics count it."""
    raise HTTPException(503, "The server is overloaded: as many requests wait as it takes (--max-waiting-requests).")


def _with_retry_after(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["Retry-After"] = str(RETRY_AFTER)
        await send(message)

    return sent


def capacity(max_waiting: int, max_running: int, engines: int, processes: int) -> int:
    """Requests that one of `processes` API processes may have under way, so that all together keep to the limit."""
    return -(-(max_waiting + max_running * engines) // processes)
