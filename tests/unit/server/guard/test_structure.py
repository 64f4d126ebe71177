"""What a JSON body consists of is counted as it arrives, and refused before anything parses it."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st

from gprune_server.guard.structure import Structure, StructureLimit

VALUES, BYTES = 20, 200
strings = st.text(alphabet='a"\\{[,é\n', max_size=6)
documents = st.recursive(
    strings | st.integers() | st.none(), lambda each: st.lists(each) | st.dictionaries(strings, each), max_leaves=20
)


def counted(value: Any) -> int:
    """Strings, objects and lists of a JSON value."""
    if isinstance(value, dict):
        return 1 + sum(1 + counted(each) for each in value.values())
    return 1 + sum(map(counted, value)) if isinstance(value, list) else int(isinstance(value, str))


@given(documents, st.booleans(), st.integers(1, 9))
def test_counts_do_not_depend_on_the_chunks(document: Any, ascii_only: bool, size: int) -> None:
    body = json.dumps(document, ensure_ascii=ascii_only).encode()
    structure = Structure()
    for start in range(0, len(body), size):
        structure.add(body[start : start + size])
    assert structure.values == counted(document)
    assert structure.other_bytes == len(re.sub(rb'"(?:[^"\\]|\\.)*"', b"", body))


@pytest.mark.parametrize("body", ["{}".encode("utf-16"), "{}".encode("utf-32-be"), b'"\xed\xa0\x80"', b"\xff"])
def test_other_encodings_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="byte"):
        Structure().add(body)


def application(parsed: list[Any]) -> FastAPI:
    app = FastAPI()
    app.add_middleware(StructureLimit, most_values=VALUES, most_bytes=BYTES)

    @app.post("/")
    async def parse(request: Request) -> None:
        parsed.append(await request.body())

    return app


async def post(body: bytes, parsed: list[Any], content_type: str = "application/json") -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application(parsed)), base_url="http://s") as client:
        return await client.post("/", content=body, headers={"Content-Type": content_type})


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"[" * VALUES, 200, ""),
        (b"[" * (VALUES + 1), 413, "--max-request-values"),
        (b'["a",{"b":"c"}]' * 4, 200, ""),
        (b'["a",{"b":"c"}]' * 5, 413, "--max-request-values"),
        (b"1" * BYTES, 200, ""),
        (b"1" * (BYTES + 1), 413, "--max-request-structure-bytes"),
        (b'"' + b"{[" * 1000 + b'"', 200, ""),
        (b'"\xed\xa0\x80"', 400, "UTF-8"),
    ],
)
async def test_limits_are_the_last_that_pass(body: bytes, status: int, told: str) -> None:
    parsed: list[Any] = []
    response = await post(body, parsed)
    assert (response.status_code, told in response.text, len(parsed)) == (status, True, status == 200)


async def test_forms_are_not_json() -> None:
    assert (await post(b"[" * 1000, [], "multipart/form-data; boundary=a")).status_code == 200


async def test_the_rest_of_a_refused_body_is_read() -> None:
    sent = []

    async def chunks() -> AsyncIterator[bytes]:
        for chunk in (b"[" * 100, b"1", b"]"):
            sent.append(chunk)
            yield chunk

    transport = httpx.ASGITransport(application([]))
    async with httpx.AsyncClient(transport=transport, base_url="http://s") as client:
        assert (await client.post("/", content=chunks())).status_code == 413
    assert len(sent) == 3
