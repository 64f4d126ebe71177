"""Bodies beyond the limit are refused before they are read."""

from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st

from gprune_server.guard.body_limit import BodyLimit

LIMIT = 1000


def application() -> FastAPI:
    app = FastAPI()
    app.add_middleware(BodyLimit, max_bytes=LIMIT)

    @app.post("/")
    async def length(request: Request) -> int:
        return len(await request.body())

    return app


async def post(content: bytes | Iterator[bytes]) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application()), base_url="http://server") as client:
        return await client.post("/", content=content)


@pytest.mark.asyncio
@pytest.mark.parametrize("length", [0, 1, LIMIT, LIMIT + 1, 100 * LIMIT])
async def test_the_limit_is_the_last_length_that_passes(length: int) -> None:
    response = await post(b"x" * length)
    assert response.status_code == (200 if length <= LIMIT else 413)


@pytest.mark.asyncio
async def test_the_flag_is_named() -> None:
    assert "--max-request-bytes" in (await post(b"x" * 2 * LIMIT)).text


@given(st.lists(st.integers(0, 700), max_size=6))
def test_a_body_without_a_length_is_counted(lengths: list[int]) -> None:
    import asyncio

    async def pieces():  # type: ignore[no-untyped-def]
        for length in lengths:
            yield b"x" * length

    response = asyncio.run(post(pieces()))
    assert response.status_code == (200 if sum(lengths) <= LIMIT else 413)


@pytest.mark.asyncio
async def test_a_declared_length_is_refused_unread() -> None:
    read = []

    async def receive() -> dict[str, object]:
        read.append(1)
        return {"type": "http.request", "body": b"", "more_body": False}

    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "headers": [(b"content-length", str(LIMIT + 1).encode())],
    }
    await application()(scope, receive, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 413
    assert read == []
