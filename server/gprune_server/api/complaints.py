"""What pydantic complains of, in a sentence that a client understands."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from vllm.exceptions import VLLMValidationError

from gprune_server.api.places import Path, follow, path_text

MOST_EXAMINED = 1000
"""Errors that are looked at. A union has errors for each of its branches and each item of a list."""
MOST_REPORTED = 5
LONGEST = 300
"""Characters of one error that are reported."""
TAGS = ("type", "role")
"""Fields that tell the branches of a union apart."""
MISSING = "Field required"
"""Pydantic's message for a field that is not there. Another body might have been meant, so it comes last."""
Complaint = tuple[Path, str]


def complaints(body: Any, errors: Iterable[Any]) -> list[Complaint]:
    """Return the place and message of each error, leaving out branches of unions that were not meant.

    Args:
        body: what was validated.
        errors: of pydantic, with locations relative to the body.
    """
    branches: dict[tuple[Any, ...], list[tuple[Path, str, bool]]] = {}
    for error in islice(errors, MOST_EXAMINED):
        path, _ = follow(body, error["loc"], error["type"] == "missing")
        branch = tuple(part for part in error["loc"] if part not in path)
        mistaken = error["type"].startswith("literal") and path[-1:] in [(tag,) for tag in TAGS]
        branches.setdefault(branch, []).append((path, _text(error), mistaken))
    meant = max(branches.values(), key=_likelihood)
    meant.sort(key=lambda found: found[1] == MISSING)
    deepest = max(meant, key=lambda found: len(found[0]))
    same = [each for branch in branches.values() for each in branch if each[0] == deepest[0]]
    return list(dict.fromkeys((path, text) for path, text, _ in (*same, *meant)))[:MOST_REPORTED]


def _likelihood(branch: Sequence[tuple[Path, str, bool]]) -> tuple[bool, int, int]:
    """Return how likely a branch of a union was meant: its tag fits, much of it does, and few errors are left."""
    return not any(mistaken for *_, mistaken in branch), max(len(path) for path, *_ in branch), -len(branch)


def _text(error: Any) -> str:
    cause = error.get("ctx", {}).get("error")
    text = str(cause.args[0]) if isinstance(cause, VLLMValidationError) else error["msg"].removeprefix("Value error, ")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def sentence(found: Sequence[Complaint]) -> str:
    """Return complaints as one message."""
    groups: dict[str, list[str]] = {}
    for path, text in found:
        groups.setdefault(path_text(path), []).append(text)
    told = (f"{path}: {', or '.join(texts)}" for path, texts in groups.items())
    return ". ".join(told) + ". Correct the body: /openapi.json describes it."
