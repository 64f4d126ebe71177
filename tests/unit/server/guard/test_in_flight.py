"""Requests beyond the capacity are refused at once, and leave room as soon as others end."""

import asyncio
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI, Request

from gprune_server.guard.in_flight import RETRY_AFTER, Admission, InFlight


def application(places: int | None) -> tuple[FastAPI, asyncio.Event]:
    """A server with that capacity, whose requests last until the event is set."""
    app, end = FastAPI(), asyncio.Event()
    app.add_middleware(Admission, in_flight=InFlight())
    scheduler_config = SimpleNamespace(max_num_queued_reqs=places)
    app.state.engine_client = SimpleNamespace(vllm_config=SimpleNamespace(scheduler_config=scheduler_config))

    @app.post("/v1/chat/completions")
    async def generate(request: Request) -> int:
        body = await request.body()
        await end.wait()
        return len(body)

    @app.post("/tokenize")
    async def tokenize(request: Request) -> int:
        return len(await request.body())

    return app, end


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server")


@pytest.mark.asyncio
@pytest.mark.parametrize(("places", "refused"), [(1, 4), (3, 2), (5, 0), (None, 0)])
async def test_as_many_are_admitted_as_there_are_places(places: int | None, refused: int) -> None:
    app, end = application(places)
    async with client_of(app) as client:
        tasks = [asyncio.create_task(client.post("/v1/chat/completions", content=b"{}")) for _ in range(5)]
        while sum(task.done() for task in tasks) < refused:
            await asyncio.sleep(0)
        end.set()
        statuses = [response.status_code for response in await asyncio.gather(*tasks)]
        assert statuses.count(503) == refused
        assert statuses.count(200) == 5 - refused
        assert (await client.post("/v1/chat/completions", content=b"{}")).status_code == 200


@pytest.mark.asyncio
async def test_a_refusal_says_when_to_try_again_and_which_flag_limits() -> None:
    app, _ = application(0)
    async with client_of(app) as client:
        response = await client.post("/v1/chat/completions", content=b"{}")
        assert (response.status_code, response.headers["Retry-After"]) == (503, str(RETRY_AFTER))
        assert "Server overloaded: --max-num-queued-reqs reached. Retry later." in response.text
        assert (await client.post("/tokenize", content=b"{}")).status_code == 200


@pytest.mark.asyncio
async def test_requests_of_other_processes_count() -> None:
    app, end = application(3)
    app.state.engine_client.admission_stats = SimpleNamespace(get_num_requests=lambda: 3)
    end.set()
    async with client_of(app) as client:
        assert (await client.post("/v1/chat/completions", content=b"{}")).status_code == 503


def test_each_kind_is_counted_until_its_requests_end() -> None:
    in_flight = InFlight()
    with in_flight.counted("post"), in_flight.counted("post"), in_flight.counted("generating"):
        assert (in_flight["post"], in_flight["generating"]) == (2, 1)
    assert in_flight["post"] == in_flight["generating"] == 0
