"""Requests that schemathesis draws from `/openapi.json`, and answers held against it."""

from typing import Any

import requests
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.servers import API_KEY, MODEL, Server

POSTS = tuple(f"/v1/{name}" for name in ("chat/completions", "chat/completions/batch", "responses", "visual_tokens"))
OPERATIONS = [(path, "POST", mode) for path in POSTS for mode in GenerationMode]
OPERATIONS += [("/v1/visual_tokens", "GET", GenerationMode.POSITIVE)]  # there is nothing to forbid
# Not among them: that what the schema forbids is refused, for vLLM's models take "1" as a number and fields they do not
# know; and that what it permits is not, for no schema tells which images can be read.
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]


def call_operation(server: Server, schema: Any, path: str, method: str, mode: GenerationMode, examples: int) -> None:
    """Call a route with requests that the schema permits, or forbids.

    Raises:
        AssertionError: an answer is a 5xx.
        schemathesis.errors.CheckFailed: an answer is not what the schema says.
    """
    headers = {"Authorization": f"Bearer {API_KEY}", "Connection": "close"}  # a 5xx closes it anyway
    with requests.Session() as session:

        @settings(max_examples=examples, database=None, suppress_health_check=list(HealthCheck))
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
