"""Headers of the current request, and the pruning fields in them, for clients that cannot change a body."""

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

FIELDS_BY_HEADER = {
    "X-Prune-Ratio": "prune_ratio",
    "X-Visual-Token-Budget": "visual_token_budget",
    "X-Prune-Method": "prune_method",
}
NUMBERS = {"prune_ratio": float, "visual_token_budget": int}
HEADERS: ContextVar[Mapping[str, str]] = ContextVar("gprune_headers", default=MappingProxyType({}))
"""Headers of the current request, by names in any case."""


class KeepHeaders:
    """Pure ASGI middleware that keeps a request's headers for what chooses its pruning."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            HEADERS.set(Headers(scope=scope))
        await self._app(scope, receive, send)


def fields_in(headers: Mapping[str, str]) -> dict[str, Any]:
    """Return the pruning fields in headers. What is no number stays text, which the renderer refuses."""
    found = {field: headers[header] for header, field in FIELDS_BY_HEADER.items() if header in headers}
    return {field: _value(field, text) for field, text in found.items()}


def _value(field: str, text: str) -> Any:
    try:
        return NUMBERS[field](text) if field in NUMBERS else text
    except ValueError:
        return text
