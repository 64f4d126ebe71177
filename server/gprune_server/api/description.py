"""Descriptions of errors for clients: a message, the place in the body, and nothing of the server's insides."""

from collections.abc import Iterable
from http import HTTPStatus
from itertools import islice
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.entrypoints.serve.exception_handling.error_response import create_error_response
from vllm.entrypoints.serve.exception_handling.utils import sanitize_message

from gprune_server.api.complaints import Complaint, complaints, sentence
from gprune_server.api.places import NODES, containers, follow, path_text, place_of_image
from gprune_server.guard.data_url import LOOK
from gprune_server.guard.image_error import FIELDS


def describe(error: Exception, body: Any) -> ErrorResponse:
    """Describe an error to the client.

    Args:
        error: of vLLM, FastAPI or pydantic.
        body: of the request, parsed, or None.
    """
    if isinstance(error, RequestValidationError):
        return _describe_body(error)
    if isinstance(error, ValidationError):
        return _refusal(_complaints_within(body, error))
    described = create_error_response(error)
    info = described.error
    if info.param is None and place_of_image(body, "") is not None:
        return _describe_image(f"The image cannot be read: its URL is empty. {LOOK}", "", body)
    if info.param is None:
        info.param = _field_named_first(info.message, body)
        return described
    info.message = sanitize_message(str(error.args[0]))  # vLLM adds the parameter and the value
    value = getattr(error, "value", None)
    if isinstance(value, str) and info.param in FIELDS.values():
        described = _describe_image(info.message, value, body, info.param, info.type, info.code)
    elif isinstance(value, str):
        info.param = _place_of(body, info.param, value)
    return described


def describe_fields(models: Iterable[Any], body: Any) -> ErrorResponse:
    """Describe a body on which a validator of vLLM fails, by validating one field after the other.

    Args:
        models: what the body is validated as.
        body: parsed, or None.
    """
    fields = [item for model in models for item in getattr(model, "model_fields", {}).items()]
    for name, field in fields:
        if isinstance(body, dict) and name in body:
            try:
                TypeAdapter(field.annotation).validate_python(body[name])
            except ValidationError as error:
                found = complaints(body[name], error.errors(include_url=False))
                return _refusal([((name, *path), text) for path, text in found])
    return create_error_response("A field of the request has the wrong type. Check the body against /openapi.json.")


def _describe_body(error: RequestValidationError) -> ErrorResponse:
    first = error.errors()[0]
    if isinstance(first, str):
        return create_error_response(first)
    if first["type"] == "json_invalid":
        text = f"The body is not JSON: {first['ctx']['error']}, at character {first['loc'][-1]}. Send JSON."
        return create_error_response(text, param="body")
    inner = [each | {"loc": each["loc"][1:]} for each in error.errors()]
    return _refusal(complaints(error.body, inner))


def _complaints_within(body: Any, error: ValidationError) -> list[Complaint]:
    """Return what pydantic complains of in some part of a body."""
    errors = error.errors(include_url=False)
    first = errors[0]
    for path, value in islice(containers(body), NODES):
        place, found = follow(value, first["loc"], first["type"] == "missing")
        if place and found == first["input"]:
            return [((*path, *inner), text) for inner, text in complaints(value, errors)]
    return complaints(None, errors)


def _refusal(found: list[Complaint]) -> ErrorResponse:
    return create_error_response(sanitize_message(sentence(found)), param=path_text(found[0][0]))


def _describe_image(
    message: str,
    url: str,
    body: Any,
    field: str = FIELDS["image"],
    kind: str = "BadRequestError",
    status: int = HTTPStatus.BAD_REQUEST,
) -> ErrorResponse:
    """Describe what is wrong with an image: with its number, and its place if it is in the body."""
    place = place_of_image(body, url)
    if place is None:
        return create_error_response(message, kind, HTTPStatus(status), field)
    words, path = place
    text = f"{words} ({path_text(path)}): {message}"
    return create_error_response(text, kind, HTTPStatus(status), path_text(path))


def _place_of(body: Any, name: str, value: str) -> str:
    """Return the path of a field with a value that is deeper in the body, or else its name."""
    for path, container in islice(containers(body), NODES):
        if path and isinstance(container, dict) and container.get(name) == value:
            return path_text((*path, name))
    return name


def _field_named_first(message: str, body: Any) -> str | None:
    """Return the field of the body that a message of vLLM begins with, if it does."""
    first, *_ = (*message.split(maxsplit=1), "")
    name = first.strip("`'\"")
    return name if isinstance(body, dict) and name in body else None
