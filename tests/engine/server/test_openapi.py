"""The gprune routes keep to what `/openapi.json` says of them, whether it permits or forbids what they are sent."""

from typing import Any

import httpx
import pytest
import schemathesis
from fastapi import APIRouter
from schemathesis import GenerationMode

from tests.support.fuzzing.schema import OPERATIONS, call_operation
from tests.support.servers import Server


@pytest.fixture(scope="module")
def schema(server: Server) -> Any:
    """The server's schema."""
    return schemathesis.openapi.from_dict(httpx.get(f"{server.url}/openapi.json", timeout=60).json())


def test_these_are_all_routes() -> None:
    from gprune_server.api import routes

    routers = [value for value in vars(routes).values() if isinstance(value, APIRouter)]
    declared: Any = [route for router in routers for route in router.routes]
    assert {(route.path, *route.methods) for route in declared} == {operation[:2] for operation in OPERATIONS}


@pytest.mark.parametrize(("path", "method", "mode"), OPERATIONS)
def test_answers_keep_to_the_schema(server: Server, schema: Any, path: str, method: str, mode: GenerationMode) -> None:
    call_operation(server, schema, path, method, mode, examples=5)
