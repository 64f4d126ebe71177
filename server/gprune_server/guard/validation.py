"""Validation of bodies that stops at the first error of a list."""

from typing import Any

from fastapi import FastAPI
from fastapi._compat import ModelField
from fastapi.routing import APIRoute
from pydantic_core import SchemaValidator

COLLECTIONS = ("list", "tuple", "set", "frozenset", "dict")


def fail_fast(schema: Any) -> Any:
    """Return a copy of a pydantic core schema whose collections fail at their first invalid item."""
    if isinstance(schema, (list, tuple)):
        return type(schema)(map(fail_fast, schema))
    if not isinstance(schema, dict):
        return schema
    copied = {key: fail_fast(value) for key, value in schema.items()}
    return copied | {"fail_fast": True} if schema.get("type") in COLLECTIONS else copied


class FailFastField(ModelField):
    """Changes against FastAPI's `ModelField`: reports the first invalid item of a list or object only.

    Pydantic reports each invalid item once for each type that it might have had. 4000 items of a `/v1/responses` body
    gave a million errors, which took the event loop 15 seconds.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        # Without prebuilt validators, because those of nested models do not fail fast.
        schema = fail_fast(self._type_adapter.core_schema)
        self._type_adapter.validator = SchemaValidator(schema, _use_prebuilt=False)


def fail_fast_bodies(app: FastAPI) -> None:
    """Have all routes of an application validate their bodies by a `FailFastField`."""
    for route in app.routes:
        if isinstance(route, APIRoute):
            fields = route.dependant.body_params
            fields[:] = [FailFastField(field.field_info, field.name, field.mode, field.config) for field in fields]
