"""What fails while a body is validated is the client's fault, and what fails later is the server's."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from gprune_server.errors import refuse_malformed

REQUEST = Request(
    {"type": "http", "app": SimpleNamespace(state=SimpleNamespace(args=SimpleNamespace(log_error_stack=False)))}
)


def request_body_to_args() -> Any:
    """As FastAPI's function of this name, which runs validators."""
    return False.get("json")  # type: ignore[attr-defined]


def elsewhere() -> Any:
    return {}["json"]


@pytest.mark.parametrize(("fail", "status"), [(request_body_to_args, 400), (elsewhere, 500)])
async def test_only_bodies_that_cannot_be_validated_are_refused(fail: Any, status: int) -> None:
    with pytest.raises((AttributeError, KeyError)) as raised:
        fail()
    answer = await refuse_malformed(REQUEST, raised.value)
    assert (answer.status_code, json.loads(bytes(answer.body))["error"]["code"]) == (status, status)
