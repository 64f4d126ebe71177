"""What the plugin sets up in vLLM's server."""

import os
from argparse import Namespace

import pytest
import vllm.envs
from fastapi import FastAPI

from gprune_server.plugin import GPruneEndpointPlugin


@pytest.mark.parametrize(("operators", "expected"), [(None, 75), ("9", 9)])
def test_idle_connections_outlive_those_of_clients(
    operators: str | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    os.environ.pop("VLLM_HTTP_TIMEOUT_KEEP_ALIVE", None)
    if operators:
        os.environ["VLLM_HTTP_TIMEOUT_KEEP_ALIVE"] = operators
    app = FastAPI()
    app.state.args = Namespace(middleware=[])
    GPruneEndpointPlugin().attach_router(app)
    assert expected == vllm.envs.VLLM_HTTP_TIMEOUT_KEEP_ALIVE
