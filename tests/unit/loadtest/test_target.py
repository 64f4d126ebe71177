"""Servers tell which models they have, or not."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from evaluation.failure import EvaluationError
from loadtest.target import Target

LISTED = {"object": "list", "data": [{"id": "first"}, {"id": "second"}]}


@asynccontextmanager
async def target_that(respond: Callable[[httpx.Request], httpx.Response]) -> AsyncIterator[Target]:
    async with Target("http://server/v1/") as target:
        await target._client.aclose()
        target._client = httpx.AsyncClient(base_url=target.url, transport=httpx.MockTransport(respond))
        yield target


@pytest.mark.parametrize(
    ("status", "body", "asked", "chosen"),
    [(200, LISTED, None, "first"), (200, LISTED, "second", "second"), (404, {}, "unlisted", "unlisted")],
)
async def test_the_model_is_the_one_asked_for_or_the_first(
    status: int, body: object, asked: str | None, chosen: str
) -> None:
    async with target_that(lambda request: httpx.Response(status, json=body)) as target:
        assert await target.model(asked) == chosen


@pytest.mark.parametrize(
    ("status", "body", "asked", "told"),
    [
        (200, LISTED, "third", "http://server serves first, second, not third"),
        (200, {"data": []}, None, "no model"),
        (200, [], None, "is not OpenAI's list of models"),
        (404, {}, None, "answers 404"),
        (401, {"error": {"message": "wrong key"}}, "first", "answers 401: wrong key"),
    ],
)
async def test_without_a_model_nothing_is_asked(status: int, body: object, asked: str | None, told: str) -> None:
    async with target_that(lambda request: httpx.Response(status, json=body)) as target:
        with pytest.raises(EvaluationError, match=told):
            await target.model(asked)


@pytest.mark.parametrize(("key", "sent"), [("", None), ("secret", "Bearer secret")])
async def test_the_key_is_sent_where_there_is_one(key: str, sent: str | None) -> None:
    async with Target("http://server", key) as target:
        assert target._client.headers.get("Authorization") == sent


async def test_what_is_no_url_is_refused() -> None:
    with pytest.raises(EvaluationError, match="is no URL"):
        Target("http://server:port")
