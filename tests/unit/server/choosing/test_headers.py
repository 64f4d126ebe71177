"""Headers become pruning fields, for the renderer to validate."""

from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gprune_server.choosing.headers import HEADERS, KeepHeaders, fields_in


@pytest.mark.parametrize(
    ("headers", "fields"),
    [
        ({}, {}),
        ({"x-prune-ratio": "0.7"}, {"prune_ratio": 0.7}),
        ({"x-visual-token-budget": "320"}, {"visual_token_budget": 320}),
        ({"x-prune-method": "tome"}, {"prune_method": "tome"}),
        ({"x-prune-ratio": "much"}, {"prune_ratio": "much"}),
        ({"x-visual-token-budget": "3.5"}, {"visual_token_budget": "3.5"}),
    ],
)
def test_numbers_are_read_and_other_text_is_left_for_the_refusal(
    headers: dict[str, str], fields: dict[str, Any]
) -> None:
    assert fields_in(Headers(headers)) == fields


async def test_each_request_has_the_fields_of_its_own_headers() -> None:
    async def show(request: Request) -> JSONResponse:
        return JSONResponse(fields_in(HEADERS.get()))

    app = KeepHeaders(Starlette(routes=[Route("/", show)]))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
        assert (await client.get("/", headers={"X-Prune-Ratio": "0.5"})).json() == {"prune_ratio": 0.5}
        assert (await client.get("/")).json() == {}
