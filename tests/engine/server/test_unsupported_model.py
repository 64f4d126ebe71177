"""A model that the plugin does not prune is served as without it, and requests to prune are refused."""

import asyncio
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from vllm.entrypoints.serve.exception_handling.register import init_exception_handler

from gprune_server.plugin import GPruneEndpointPlugin
from gprune_vllm.families import MODELS
from tests.support import photos
from tests.support.engine import Engine, engine
from tests.support.families.unsupported import write_gemma3
from tests.support.questions import QUESTION, messages

pytestmark = pytest.mark.xdist_group("engines")


@pytest.fixture(scope="module")
def gemma3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engine(write_gemma3(tmp_path_factory.mktemp("gemma3") / "tiny"), max_model_len=512) as running:
        yield running


def test_it_is_served_by_vllms_own_class(gemma3: Engine) -> None:
    assert gemma3.model_class.__module__ == "vllm.model_executor.models.gemma3_mm"
    assert len(gemma3.ask([photos.china()]).token_ids) == 16


@pytest.mark.parametrize(
    "asked", [{"prune_ratio": 0.5}, {"prune_ratio": 0}, {"visual_token_budget": 2}, {"prune_method": "gprune"}]
)
def test_requests_to_prune_are_refused_by_the_names_of_what_is_supported(gemma3: Engine, asked: dict[str, Any]) -> None:
    body = {"model": "gemma3", "messages": messages([photos.china()], QUESTION), **asked}
    response = asyncio.run(_post(gemma3, "/v1/chat/completions", body))
    assert response.status_code == 400
    error = response.json()["error"]
    assert [error["param"]] == [*asked]
    assert all(architecture in error["message"] for architecture in MODELS)


async def _post(running: Engine, path: str, body: dict[str, Any]) -> httpx.Response:
    """Ask an app with this package's routes around the engine."""
    app, plugin = FastAPI(), GPruneEndpointPlugin()
    app.state.args = Namespace(middleware=[])
    plugin.attach_router(app)
    init_exception_handler(app)
    await plugin.init_state(running.upstream, app.state, app.state.args)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.post(path, json=body)
