"""Shutdown of a server: finish accepted requests, refuse new ones, and exit with an error if the engine failed."""

import asyncio
import logging
from http import HTTPStatus
from typing import Any

import vllm.envs
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from vllm.entrypoints.serve.exception_handling.error_response import create_error_response
from vllm.exceptions import GracefulHTTPError
from vllm.logger import init_logger
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError

from gprune_server.guard.in_flight import RETRY_AFTER, InFlight

logger = init_logger(f"vllm.{__name__}")

POLL = 0.05
"""Seconds between checks for requests in flight."""
PARTING = 5
"""Seconds that clients get to receive what was written for them, and at least that the engine gets to stop."""


class DrainingEngine:
    """Wraps `vllm.engine.protocol.EngineClient` (vLLM 0.32) for the server itself, not for its handlers. Changes:

    - `shutdown`, which vLLM calls at SIGTERM, first waits for requests in flight, up to vLLM's `--shutdown-timeout`,
      and then fails the rest. Upstream stops the renderer first, which fails requests whose images are being decoded.
      It never ends a stream that is open at the timeout, nor the process that serves it.
    - `check_health`, and with it `/health`, fails from then on.
    - `is_running` is always true. Otherwise upstream ends the process with exit code 0 when the engine fails.
      `raise_if_failed` ends it with an error instead.
    """

    is_running = True

    def __init__(self, engine_client: Any, in_flight: InFlight) -> None:
        self._engine = engine_client
        self._loop = asyncio.get_running_loop()
        self._in_flight = in_flight
        self.draining = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    @property
    def failed(self) -> bool:
        """Whether the engine died before a shutdown."""
        return self._engine.errored and not self._engine.is_running and not self.draining

    async def check_health(self) -> None:
        """Check that the server accepts requests.

        Raises:
            EngineDeadError: the engine is dead or the server is shutting down. vLLM's `/health` handles no other error.
        """
        if self.draining:
            raise EngineDeadError
        await self._engine.check_health()

    async def raise_if_failed(self) -> None:
        """Wait until clients have received their errors if the engine failed, then raise.

        Raises:
            EngineDeadError: the engine failed.
        """
        if self.failed and not vllm.envs.VLLM_KEEP_ALIVE_ON_ENGINE_DEATH:
            await self._is_idle_by(self._loop.time() + PARTING)
            raise EngineDeadError

    def shutdown(self, timeout: float | None = None) -> None:
        """Shut down. Call it, as vLLM does, from a thread other than that of the event loop."""
        deadline = self._loop.time() + (timeout or 0)
        asyncio.run_coroutine_threadsafe(self._drain(deadline), self._loop).result()
        self._engine.shutdown(timeout=max(deadline - self._loop.time(), PARTING))

    async def _drain(self, deadline: float) -> None:
        self.draining = True
        logging.getLogger(AsyncLLM.__module__).addFilter(is_news)
        logger.info("[shutdown] Finishing %d requests", self._in_flight["post"])
        if not await self._is_idle_by(deadline):
            await self._fail_prompts()
            await self._is_idle_by(self._loop.time() + PARTING)

    async def _fail_prompts(self) -> None:
        """Send an error for each prompt in the engine. vLLM would end their streams as if they were complete."""
        prompts = list(self._engine.output_processor.request_states)
        logger.warning("[shutdown] --shutdown-timeout expired. Failing %d prompts", len(prompts))
        self._engine.output_processor.propagate_error(shutting_down_error())
        await self._engine.abort(prompts, internal=True)

    async def _is_idle_by(self, deadline: float) -> bool:
        """Wait until nothing is in flight or the deadline has passed. Return whether nothing is."""
        while (busy := self._count()) and self._loop.time() < deadline:
            await asyncio.sleep(POLL)
        return not busy

    def _count(self) -> int:
        """Count incomplete responses and prompts, as some prompts have no response. A dead engine has no prompts."""
        return self._in_flight["post"] + (0 if self._engine.errored else self._engine.get_num_unfinished_requests())


class Drain:
    """Pure ASGI middleware, outside of all others, that counts POST requests in flight.

    It responds 503 to requests that arrive once the server is shutting down or the engine is dead. It does nothing
    unless `app.state.engine_client` is a `DrainingEngine`.
    """

    def __init__(self, app: ASGIApp, in_flight: InFlight) -> None:
        self._app = app
        self._in_flight = in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope["app"].state
        engine = getattr(state, "engine_client", None)
        if isinstance(engine, DrainingEngine) and scope["type"] == "lifespan":
            _configure(state.server.config, engine)
        if not isinstance(engine, DrainingEngine) or scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
        elif engine.draining or engine.failed:
            await shutting_down_response()(scope, receive, send)
        else:
            with self._in_flight.counted("post"):
                await self._app(scope, receive, send)


def _configure(config: Any, engine: DrainingEngine) -> None:
    """Make uvicorn exit if the engine fails, and limit its wait for clients that stopped reading."""
    config.callback_notify, config.timeout_notify = engine.raise_if_failed, 0
    config.timeout_graceful_shutdown = PARTING


def is_news(record: logging.LogRecord) -> bool:
    """Return whether a log record says more than that the engine is gone, once it has been told to stop.

    At Ctrl-C the engine stops by itself, and vLLM 0.32 logs an `EngineDeadError` that asks for a root cause. An engine
    that crashes has logged the cause itself.
    """
    return not (record.exc_info and isinstance(record.exc_info[1], EngineDeadError))


def shutting_down_error() -> GracefulHTTPError:
    """Return the error for requests that the server no longer accepts or finishes."""
    return GracefulHTTPError("The server is shutting down. Retry later.", HTTPStatus.SERVICE_UNAVAILABLE)


def shutting_down_response() -> JSONResponse:
    """Return a 503 that makes clients retry on another connection, and so on another server."""
    headers = {"Retry-After": str(RETRY_AFTER), "Connection": "close"}
    body = create_error_response(shutting_down_error()).model_dump()
    return JSONResponse(body, HTTPStatus.SERVICE_UNAVAILABLE, headers)
