"""How a request of a soak may end."""

import json
from typing import Literal

import httpx

from tests.nightly.server.traffic import Request
from tests.support.fuzzing.judging import assert_well_formed, events

Ending = Literal["answered", "refused", "left", "fault"]


def ending_of(request: Request, answer: httpx.Response) -> tuple[Ending, str]:
    """How it ended, and of a fault what was seen.

    What must be refused is refused with a 4xx, what is valid is answered whole, and the hostile is either.
    """
    told = f"{answer.status_code}: {answer.text[-300:]}"
    try:
        assert_well_formed(request.case.path, answer)
    except (AssertionError, ValueError) as error:
        return "fault", f"{error} in {told}"
    if answer.status_code != 200:
        return ("fault", told) if is_valid(request) else ("refused", "")
    if request.kind == "refused" or (is_valid(request) and not is_whole(answer)):
        return "fault", told
    return "answered", ""


def is_valid(request: Request) -> bool:
    """Whether the server must answer it."""
    return request.kind not in ("refused", "hostile")


def is_whole(answer: httpx.Response) -> bool:
    """Whether an answer, a stream or an object, has its end and tells of no error."""
    text = answer.text
    if any(event.get("error") for event in events(answer)):
        return False
    if text.startswith(("data:", "event:")):
        return text.rstrip().endswith("data: [DONE]") or "event: response.completed" in text
    return isinstance(json.loads(text), dict)
