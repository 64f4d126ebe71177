"""vLLM's application with the plugin, without an engine: what its routes do with pruning fields."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from vllm.entrypoints.launchers.app import build_app
from vllm.exceptions import VLLMValidationError

from gprune_server.guard.fields import check_fields
from gprune_server.serve import build_parser

TASKS: Any = ("generate", "transcription", "realtime", "embed", "classify", "token_embed", "token_classify")
TAKING = {
    *("/v1/chat/completions", "/v1/chat/completions/batch", "/v1/responses", "/tokenize", "/invocations"),
    "/v1/visual_tokens",
}
"""Routes that take pruning fields; the renderer validates them."""
BODY = {"model": "m", "prompt": "Hi", "input": "Hi", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture(scope="module")
def app() -> Iterator[FastAPI]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_PLUGINS", "gprune")
        arguments = build_parser().parse_args(["any-model"])
        yield build_app(arguments, TASKS)


def refused(route: APIRoute, field: str) -> bool:
    try:
        check_fields(route, {**BODY, field: 0.7})
    except VLLMValidationError as error:
        return error.parameter == field
    return False


@pytest.mark.parametrize("field", ["prune_ratio", "visual_token_budget", "prune_method"])
def test_every_route_takes_a_pruning_field_or_refuses_it(app: FastAPI, field: str) -> None:
    routes = [route for route in app.routes if isinstance(route, APIRoute) and "POST" in route.methods]
    refusing = {route.path for route in routes if refused(route, field)}
    assert {route.path for route in routes} - refusing == TAKING
    assert refusing >= {"/v1/completions", "/v1/messages", "/v1/messages/count_tokens", "/v1/audio/transcriptions"}
