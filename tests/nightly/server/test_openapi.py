"""The gprune routes keep to what `/openapi.json` says of them, with many requests."""

from typing import Any

import httpx
import pytest
import schemathesis
from schemathesis import GenerationMode

from tests.support.fuzzing.schema import OPERATIONS, call_operation
from tests.support.servers import Server


@pytest.fixture(scope="module")
def schema(server: Server) -> Any:
    """The server's schema."""
    return schemathesis.openapi.from_dict(httpx.get(f"{server.url}/openapi.json", timeout=60).json())


@pytest.mark.parametrize(("path", "method", "mode"), OPERATIONS)
def test_answers_keep_to_the_schema(
    server: Server, schema: Any, request: pytest.FixtureRequest, path: str, method: str, mode: GenerationMode
) -> None:
    examples = int(request.config.getoption("fuzz_cases")) // 50
    call_operation(server, schema, path, method, mode, examples)
