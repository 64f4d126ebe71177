"""Pruning fields in headers, for proxies and clients that cannot change a body."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

HEADERS = {
    "x-prune-ratio": "prune_ratio",
    "x-visual-token-budget": "visual_token_budget",
    "x-prune-method": "prune_method",
}
"""Pruning fields by header."""
NUMBERS = {"prune_ratio": float, "visual_token_budget": int}
HEADER_FIELDS: ContextVar[Mapping[str, Any]] = ContextVar("gprune_header_fields", default={})  # noqa: B039 (never changed)
"""Pruning fields in the headers of the current request."""


class PruneHeaders:
    """Pure ASGI middleware that keeps the pruning fields in a request's headers for the renderer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            HEADER_FIELDS.set(fields_in(Headers(scope=scope)))
        await self._app(scope, receive, send)


def fields_in(headers: Mapping[str, str]) -> dict[str, Any]:
    """Return the pruning fields in headers. What is no number stays text, which the renderer refuses."""
    found = {field: headers[header] for header, field in HEADERS.items() if header in headers}
    return {field: _value(field, text) for field, text in found.items()}


def _value(field: str, text: str) -> Any:
    try:
        return NUMBERS[field](text) if field in NUMBERS else text
    except ValueError:
        return text
