"""What an answer may be, whatever was asked: no 5xx, and an error has the shape that clients read."""

import json
from typing import Any

import httpx

ANTHROPIC = "/v1/messages"
INSIDES = (" object at ", " object>", "pydantic", "(parameter=", "input_value", "'loc'", "Traceback")
"""What no message shows."""


def assert_well_formed(path: str, answer: httpx.Response) -> None:
    """Assert it of an answer, and of each event of a stream.

    Raises:
        AssertionError: it is not so.
    """
    for event in events(answer):
        error = event.get("error")
        if answer.status_code == 200 and not error:
            continue
        assert isinstance(error, dict), answer.text[:300]
        assert not [inside for inside in INSIDES if inside in error["message"]], answer.text[:300]
        if path == ANTHROPIC and "type" in event:
            assert set(error) == {"message", "type"}
            assert answer.status_code < 500, answer.text[:300]
        else:
            assert set(error) == {"message", "type", "param", "code"}
            assert error["code"] < 500, answer.text[:300]
            assert answer.status_code in (200, error["code"])


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    """The body of an answer, or of each event of a stream."""
    if not answer.headers["Content-Type"].startswith("text/event-stream"):
        return [answer.json()]
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]
