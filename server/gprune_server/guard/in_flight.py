"""Requests in flight: their number, and the limit on generating ones."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

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
"""Path suffixes of generating requests, which wait for the engine."""
RETRY_AFTER = 5
"""Seconds after which a refused client may retry."""

Kind = Literal["post", "generating"]
"""All POST requests, and the generating ones among them that were admitted."""


class InFlight:
    """Number of requests in flight in this process, by kind."""

    def __init__(self) -> None:
        self._counts: Counter[Kind] = Counter()

    def __getitem__(self, kind: Kind) -> int:
        return self._counts[kind]

    @contextmanager
    def counted(self, kind: Kind) -> Iterator[None]:
        """Count a request for as long as the context is open."""
        self._counts[kind] += 1
        try:
            yield
        finally:
            self._counts[kind] -= 1


class Admission:
    """Pure ASGI middleware that responds 503 to generating requests above vLLM's `--max-num-queued-reqs`.

    vLLM 0.32 checks the limit only after decoding a request's images, and reports it to streams within a 200. This
    middleware does not read the body, responds 503 to streams too, and sends `Retry-After`.
    """

    def __init__(self, app: ASGIApp, in_flight: InFlight) -> None:
        self._app = app
        self._in_flight = in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].endswith(GENERATING):
            await self._app(scope, receive, send)
            return
        engine = getattr(scope["app"].state, "engine_client", None)
        if engine is not None and _is_full(engine, self._in_flight["generating"]):
            await self._app(scope, refuse_overload, _with_retry_after(send))
            return
        with self._in_flight.counted("generating"):
            await self._app(scope, receive, send)


def _is_full(engine: Any, generating: int) -> bool:
    """Return whether this process, or all that share the engine, have reached the limit. Count a rejection if so."""
    limit = engine.vllm_config.scheduler_config.max_num_queued_reqs
    shared = getattr(engine, "admission_stats", None)
    if limit is None or max(generating, shared.get_num_requests() if shared else 0) < limit:
        return False
    if getattr(engine, "logger_manager", None) is not None:
        engine.logger_manager.record_admission_rejection("max_num_queued_reqs")
    return True


async def refuse_overload() -> Message:
    """Stand in for `receive`, so that vLLM's handler formats the response and its metrics count it.

    Raises:
        HTTPException: always, with status 503.
    """
    raise HTTPException(503, "Server overloaded: --max-num-queued-reqs reached. Retry later.")


def _with_retry_after(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["Retry-After"] = str(RETRY_AFTER)
        await send(message)

    return sent
