"""A request as it goes over the wire, and how it may end."""

import json
from dataclasses import dataclass
from typing import Any, Literal, get_args

Ending = Literal["answered", "refused", "aborted", "lost", "failed", "rejected", "accepted"]
ENDINGS: tuple[Ending, ...] = get_args(Ending)
FAULTS: dict[Ending, str] = {
    "lost": "got no answer, or half of one",
    "failed": "were answered by 5xx, or by an error amid the answer",
    "rejected": "were valid and refused",
    "accepted": "were invalid and answered",
}
"""Endings that no request may have."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent, and what is to come of it.

    Attributes:
        kind: under which it is counted.
        path: of the endpoint.
        content: the body.
        invalid: whether the server must refuse it, with a status of 4xx.
        patience: seconds after which the client leaves; None if it stays.
    """

    kind: str
    path: str
    content: bytes
    invalid: bool = False
    patience: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ended, and where it ended wrong, what was seen of that."""

    ending: Ending
    detail: str = ""


def outcome_of(request: Request, status: int, text: str) -> Outcome:
    """Judge a response that came to its end."""
    told = f"{status}: {text[-300:]}"
    if status >= 500:
        return Outcome("failed", told)
    if request.invalid:
        return Outcome("refused") if status >= 400 else Outcome("accepted", told)
    if status != 200:
        return Outcome("rejected", told)
    if '"error":{' in text.replace(" ", ""):  # quotes inside of content are escaped
        return Outcome("failed", told)
    return Outcome("answered") if is_whole(text) else Outcome("lost", told)


def is_whole(text: str) -> bool:
    """Whether an answer, a stream or an object, has its end."""
    if text.startswith(("data:", "event:")):
        return text.rstrip().endswith("data: [DONE]") or "event: response.completed" in text
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def encode(body: dict[str, Any]) -> bytes:
    """A body as JSON."""
    return json.dumps(body).encode()
