"""Requests beyond what may be in flight are told to come again, early enough to go elsewhere."""

from typing import Any

from fastapi import HTTPException
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

GENERATING = (
    "/completions",
    "/completions/batch",
    "/responses",
    "/messages",
    "/generate",
    "/invocations",
    "/visual_tokens",
)
"""How the paths end whose requests wait for the engine."""
RETRY_AFTER = 5
"""Seconds after which a client may try again."""


class Admission:
    """Pure ASGI middleware that answers 503 to generating requests where vLLM's `--max-num-queued-reqs` is reached.

    vLLM 0.32 itself checks once a request's images have been decoded, and tells a stream of it in a 200. Here the body
    is not read, streams get their 503 too, and `Retry-After` says when to come again.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].endswith(GENERATING):
            await self._app(scope, receive, send)
            return
        engine = getattr(scope["app"].state, "engine_client", None)
        if engine is not None and _is_full(engine, self._under_way):
            await self._app(scope, refuse, _with_retry_after(send))
            return
        self._under_way += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._under_way -= 1


def _is_full(engine: Any, under_way: int) -> bool:
    """Whether this process, or all that share the engine, have as many requests in flight as may be."""
    limit = engine.vllm_config.scheduler_config.max_num_queued_reqs
    shared = getattr(engine, "admission_stats", None)
    if limit is None or max(under_way, shared.get_num_requests() if shared else 0) < limit:
        return False
    if getattr(engine, "logger_manager", None) is not None:
        engine.logger_manager.record_admission_rejection("max_num_queued_reqs")
    return True


async def refuse() -> Message:
    """Raised into whoever reads the body, so that vLLM's own handler words the answer and its metrics count it."""
    raise HTTPException(
        503, "The server is overloaded: as many requests are in flight as may be, --max-num-queued-reqs."
    )


def _with_retry_after(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["Retry-After"] = str(RETRY_AFTER)
        await send(message)

    return sent
