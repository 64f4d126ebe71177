"""Requests beyond the capacity are refused at once, and leave room as soon as others end."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st

from server.admission import RETRY_AFTER, Admission, capacity


def application(places: int | None) -> tuple[FastAPI, asyncio.Event]:
    """A server with that capacity, whose requests last until the event is set."""
    app, end = FastAPI(), asyncio.Event()
    app.add_middleware(Admission)
    app.state.gprune_capacity = places

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
        assert "--max-waiting-requests" in response.text
        assert (await client.post("/tokenize", content=b"{}")).status_code == 200


@given(st.integers(0, 5000), st.integers(1, 1024), st.integers(1, 16), st.integers(1, 16))
def test_processes_together_admit_what_the_limit_says(waiting: int, running: int, engines: int, processes: int) -> None:
    limit = waiting + running * engines
    assert limit <= processes * capacity(waiting, running, engines, processes) < limit + processes
