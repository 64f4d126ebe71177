"""HEAD is answered where GET is."""

import httpx
import pytest
from fastapi import FastAPI

from gprune_server.api.head import HeadAsGet


@pytest.mark.parametrize(("path", "status"), [("/get", 200), ("/post", 405), ("/none", 404)])
async def test_head_is_answered_where_get_is(path: str, status: int) -> None:
    app = FastAPI()
    app.add_middleware(HeadAsGet)
    app.add_api_route("/get", lambda: "got")
    app.add_api_route("/post", lambda: "posted", methods=["POST"])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
        assert (await client.head(path)).status_code == (await client.get(path)).status_code == status
