"""Checks of all JSON bodies, whatever their route, before they are validated."""

from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.utils import get_parameterless_sub_dependant
from fastapi.routing import APIRoute

from gprune_server.guard.fields import check_fields
from gprune_server.guard.placeholders import Placeholders
from gprune_server.guard.texts import check_lengths


def guard_bodies(app: FastAPI) -> None:
    """Have all POST routes of an application, vLLM's included, check their bodies."""
    for route in app.routes:
        if isinstance(route, APIRoute) and "POST" in route.methods:
            checking = get_parameterless_sub_dependant(depends=Depends(check_body), path=route.path_format)
            route.dependant.dependencies.append(checking)


async def check_body(request: Request) -> None:
    """Check the body of a request.

    Raises:
        VLLMValidationError: the server would handle it slowly, or silently not as it says.
    """
    body = await _parsed(request)
    if isinstance(body, dict):
        route = request.scope["route"]
        check_lengths(route.path, body)
        check_fields(route, body)
        placeholders: Placeholders | None = getattr(request.app.state, "gprune_placeholders", None)
        if placeholders is not None:
            placeholders.check_body(body)


async def _parsed(request: Request) -> Any:
    """Return the body, or None if it is not JSON, which the route itself reports. Starlette parses it only once."""
    try:
        return await request.json()
    except ValueError:
        return None
