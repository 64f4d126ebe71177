"""How a server stops: it answers what it has taken, takes nothing more, and fails where its engine did."""

import asyncio
from http import HTTPStatus
from typing import Any

import vllm.envs
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from vllm.entrypoints.serve.exception_handling.error_response import create_error_response
from vllm.exceptions import GracefulHTTPError
from vllm.logger import init_logger
from vllm.v1.engine.exceptions import EngineDeadError

from gprune_server.guard.admission import RETRY_AFTER

logger = init_logger(f"vllm.{__name__}")

POLL = 0.05
"""Seconds between two looks at what is in flight."""
PARTING = 5
"""Seconds that clients have to take what was written for them, and at least that the engine has to be torn down."""


class DrainingEngine:
    """Wraps `vllm.engine.protocol.EngineClient` (vLLM 0.32) for the server itself; handlers have their own. Changes:

    - `shutdown`, which vLLM calls at SIGTERM, first waits for what is in flight, within the timeout of vLLM's flag
      `--shutdown-timeout`, and fails what is left then. Upstream stops the renderer first, which fails requests whose
      images are being decoded, and never ends a stream that the timeout leaves open, nor the process that has it.
    - `check_health` fails from then on, and `/health` with it.
    - `is_running` is always true: where it is not, upstream ends the process as if it had been told to, with exit
      code 0. `raise_if_failed` is there to end it instead.
    """

    is_running = True

    def __init__(self, engine_client: Any) -> None:
        self._engine = engine_client
        self._loop = asyncio.get_running_loop()
        self.draining = False
        self.in_flight = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    @property
    def failed(self) -> bool:
        """Whether the engine died without being told to."""
        return self._engine.errored and not self._engine.is_running and not self.draining

    async def check_health(self) -> None:
        """Raises:
        EngineDeadError: the engine is dead, or the server stops; vLLM's `/health` knows no other error.
        """
        if self.draining:
            raise EngineDeadError
        await self._engine.check_health()

    async def raise_if_failed(self) -> None:
        """Raises:
        EngineDeadError: the engine failed, and its clients were told.
        """
        if self.failed and not vllm.envs.VLLM_KEEP_ALIVE_ON_ENGINE_DEATH:
            await self._is_idle_by(self._loop.time() + PARTING)
            raise EngineDeadError

    def shutdown(self, timeout: float | None = None) -> None:
        """Stop, from another thread than the event loop's, as vLLM does."""
        deadline = self._loop.time() + (timeout or 0)
        asyncio.run_coroutine_threadsafe(self._drain(deadline), self._loop).result()
        self._engine.shutdown(timeout=max(deadline - self._loop.time(), PARTING))

    async def _drain(self, deadline: float) -> None:
        self.draining = True
        logger.info("[shutdown] finishing %d requests", self.in_flight)
        if not await self._is_idle_by(deadline):
            await self._give_up()
            await self._is_idle_by(self._loop.time() + PARTING)

    async def _give_up(self) -> None:
        """Answer with an error what is in the engine. vLLM ends aborted streams as if they were complete."""
        prompts = list(self._engine.output_processor.request_states)
        logger.warning("[shutdown] giving up %d prompts: --shutdown-timeout is over", len(prompts))
        self._engine.output_processor.propagate_error(shutting_down())
        await self._engine.abort(prompts, internal=True)

    async def _is_idle_by(self, deadline: float) -> bool:
        """Wait until nothing is in flight."""
        while (busy := self._count()) and self._loop.time() < deadline:
            await asyncio.sleep(POLL)
        return not busy

    def _count(self) -> int:
        """Responses that are not complete, and prompts, of which some have no response; a dead engine answers none."""
        return self.in_flight + (0 if self._engine.errored else self._engine.get_num_unfinished_requests())


class Drain:
    """Pure ASGI middleware, around all others, for a server whose `app.state.engine_client` is a `DrainingEngine`.

    It counts requests in flight, and answers 503 to those that come once the server stops or the engine is dead.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope["app"].state
        engine = getattr(state, "engine_client", None)
        if isinstance(engine, DrainingEngine) and scope["type"] == "lifespan":
            _configure(state.server.config, engine)
        if not isinstance(engine, DrainingEngine) or scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
        elif engine.draining or engine.failed:
            await refusal()(scope, receive, send)
        else:
            engine.in_flight += 1
            try:
                await self._app(scope, receive, send)
            finally:
                engine.in_flight -= 1


def _configure(config: Any, engine: DrainingEngine) -> None:
    """Have uvicorn end where the engine fails, and not wait for ever for clients that read nothing more."""
    config.callback_notify, config.timeout_notify = engine.raise_if_failed, 0
    config.timeout_graceful_shutdown = PARTING


def shutting_down() -> GracefulHTTPError:
    """What clients are told that ask too late, or for too much."""
    return GracefulHTTPError("The server is shutting down.", HTTPStatus.SERVICE_UNAVAILABLE)


def refusal() -> JSONResponse:
    """A 503 that makes clients come again on another connection, and so to another server."""
    headers = {"Retry-After": str(RETRY_AFTER), "Connection": "close"}
    return JSONResponse(create_error_response(shutting_down()).model_dump(), HTTPStatus.SERVICE_UNAVAILABLE, headers)
