"""The gprune routes keep to what `/openapi.json` says of them, whether it permits or forbids what they are sent."""

import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from fastapi import APIRouter
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.servers import API_KEY, MODEL, Server

POSTS = tuple(f"/v1/{name}" for name in ("chat/completions", "chat/completions/batch", "responses", "visual_tokens"))
GETS = ("/v1/visual_tokens",)
OPERATIONS = [(path, "POST", mode) for path in POSTS for mode in GenerationMode]
OPERATIONS += [(path, "GET", GenerationMode.POSITIVE) for path in GETS]  # there is nothing to forbid
EXAMPLES = int(os.environ.get("FUZZ_CASES", "100")) // 10
# Not among them: that what the schema forbids is refused, for vLLM's models take "1" as a number and fields they do not
# know; and that what it permits is not, for no schema tells which images can be read.
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def schema(server: Server) -> Any:
    """The server's schema."""
    return schemathesis.openapi.from_dict(httpx.get(f"{server.url}/openapi.json", timeout=60).json())


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        yield opened


def test_these_are_all_routes() -> None:
    from server import routes

    routers = [value for value in vars(routes).values() if isinstance(value, APIRouter)]
    declared: Any = [route for router in routers for route in router.routes]
    assert {(route.path, *route.methods) for route in declared} == {operation[:2] for operation in OPERATIONS}


@pytest.mark.parametrize(("path", "method", "mode"), OPERATIONS)
def test_answers_keep_to_the_schema(
    server: Server, schema: Any, session: requests.Session, path: str, method: str, mode: GenerationMode
) -> None:
    headers = {"Authorization": f"Bearer {API_KEY}", "Connection": "close"}  # a 5xx closes it anyway

    @settings(max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
    @given(schema[path][method].as_strategy(generation_mode=mode))
    def call(case: Any) -> None:
        case.body = tame(case.body)
        answer = case.call(base_url=server.url, session=session, headers=headers, timeout=60)
        assert answer.status_code < 500, answer.text[:500]
        case.validate_response(answer, checks=CHECKS)

    call()


def tame(body: Any) -> Any:
    """A body for the served model whose answer is short."""
    if not isinstance(body, dict):
        return body
    limits = ("max_tokens", "max_completion_tokens", "max_output_tokens")
    kept = {name: value for name, value in body.items() if name not in limits}
    limit = {"max_output_tokens": 1} if "input" in body else {"max_tokens": 1} if "messages" in body else {}
    return kept | limit | ({"model": MODEL} if isinstance(body.get("model"), str) else {})
