"""A server that stops finishes what it has, takes nothing more, and fails where its engine did."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from vllm.entrypoints.launchers.launcher import terminate_if_errored
from vllm.entrypoints.serve.exception_handling.handlers.vllm_error import vllm_error_handler
from vllm.entrypoints.serve.instrumentator.health import router as health
from vllm.exceptions import VLLMError
from vllm.v1.engine.exceptions import EngineDeadError

from gprune_server.guard.in_flight import InFlight
from gprune_server.shutdown import PARTING, Drain, DrainingEngine, is_news

CHAT = "/v1/chat/completions"


class Engine:
    """vLLM's, as far as stopping goes: prompts last until they are answered or failed."""

    errored, is_running = False, True

    def __init__(self) -> None:
        self.output_processor = SimpleNamespace(request_states={}, propagate_error=self._fail)
        self.stopped_within: float | None = None

    async def generate(self, name: str) -> str:
        answer = asyncio.get_running_loop().create_future()
        self.output_processor.request_states[name] = answer
        try:
            return str(await answer)
        finally:
            del self.output_processor.request_states[name]

    def answer(self, name: str, text: str) -> None:
        self.output_processor.request_states[name].set_result(text)

    def _fail(self, error: Exception) -> None:
        for answer in self.output_processor.request_states.values():
            answer.set_exception(error)

    def get_num_unfinished_requests(self) -> int:
        return len(self.output_processor.request_states)

    async def abort(self, names: list[str], internal: bool) -> None:
        assert internal
        assert names == list(self.output_processor.request_states)

    async def check_health(self) -> None:
        """It is healthy."""

    def shutdown(self, timeout: float | None) -> None:
        assert not self.output_processor.request_states
        self.stopped_within = timeout


def application(engine: Engine) -> FastAPI:
    """A server of that engine, to be made in its event loop."""
    app, in_flight = FastAPI(), InFlight()
    app.add_middleware(Drain, in_flight=in_flight)
    app.state.engine_client = DrainingEngine(engine, in_flight)
    app.state.args = SimpleNamespace(log_error_stack=False)
    app.include_router(health)
    app.exception_handler(VLLMError)(vllm_error_handler)

    @app.post(CHAT)
    async def generate(request: Request) -> str:
        return await engine.generate((await request.body()).decode())

    @app.get("/metrics")
    async def metrics() -> int:
        return in_flight["post"]

    return app


@asynccontextmanager
async def stopping(engine: Engine, timeout: float) -> AsyncIterator[tuple[httpx.AsyncClient, Any, Any]]:
    """A client of a server that was told to stop while it answers a request, that request, and the stop."""
    app = application(engine)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
        request = asyncio.create_task(client.post(CHAT, content="first"))
        while not engine.get_num_unfinished_requests():
            await asyncio.sleep(0)
        assert (await client.get("/health")).status_code == 200
        stop = asyncio.create_task(asyncio.to_thread(app.state.engine_client.shutdown, timeout=timeout))
        while not app.state.engine_client.draining:
            await asyncio.sleep(0)
        yield client, request, stop


@pytest.mark.asyncio
async def test_requests_in_flight_are_answered_before_the_engine_stops() -> None:
    engine = Engine()
    async with stopping(engine, timeout=1000) as (_, request, stop):
        assert engine.stopped_within is None
        engine.answer("first", "answered")
        assert (await request).json() == "answered"
        await stop
        assert engine.stopped_within == pytest.approx(1000, rel=0.5)


@pytest.mark.asyncio
async def test_requests_that_come_later_are_sent_elsewhere() -> None:
    engine = Engine()
    async with stopping(engine, timeout=1000) as (client, request, stop):
        refused = await client.post(CHAT, content="second")
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.headers["Connection"] == "close"
        assert refused.json()["error"]["code"] == 503
        assert (await client.get("/health")).status_code == 503
        assert (await client.get("/metrics")).json() == 1
        engine.answer("first", "answered")
        await asyncio.gather(request, stop)


@pytest.mark.asyncio
async def test_what_the_timeout_leaves_is_failed() -> None:
    engine = Engine()
    async with stopping(engine, timeout=0) as (_, request, stop):
        assert (await request).status_code == 503
        await stop
        assert engine.stopped_within == PARTING


@pytest.mark.asyncio
async def test_prompts_of_no_open_request_are_waited_for() -> None:
    engine = Engine()
    async with stopping(engine, timeout=1000) as (_, request, stop):
        background = asyncio.create_task(engine.generate("background"))
        engine.answer("first", "answered")
        await request
        await asyncio.sleep(0.2)
        assert engine.stopped_within is None
        engine.answer("background", "answered")
        await asyncio.gather(background, stop)


@pytest.mark.asyncio
async def test_a_client_that_leaves_is_not_waited_for() -> None:
    engine = Engine()
    async with stopping(engine, timeout=1000) as (_, request, stop):
        request.cancel()
        await stop
        assert engine.stopped_within is not None


@pytest.mark.asyncio
@pytest.mark.parametrize("told", [False, True])
async def test_a_server_ends_with_an_error_if_its_engine_fails(told: bool) -> None:
    engine = Engine()
    app = application(engine)
    server = app.state.server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0)
    app.state.engine_client.draining = told
    engine.errored, engine.is_running = True, False
    terminate_if_errored(server, app.state.engine_client)
    assert not server.should_exit
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
        assert (await client.post(CHAT, content="late")).status_code == 503
    if told:
        await asyncio.sleep(1.5)
        server.should_exit = True
        await serving
    else:
        with pytest.raises(EngineDeadError):
            await serving
        await server.shutdown()


@pytest.mark.parametrize(("error", "logged"), [(EngineDeadError(), False), (ValueError("a"), True), (None, True)])
def test_an_engine_that_stopped_is_no_news(error: Exception | None, logged: bool) -> None:
    details = None if error is None else (type(error), error, None)
    assert is_news(logging.LogRecord("a", logging.ERROR, "", 0, "failed", (), details)) is logged
