"""Items of a `/v1/responses` input: their type for validation, and the forms of them that agents send."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import uuid4

from pydantic import BaseModel, Discriminator, Tag
from vllm.entrypoints.openai.responses.protocol import ResponseInputOutputItem
from vllm.exceptions import VLLMValidationError

MESSAGE = "message"
PARTS = {"text": "input_text", "output_text": "input_text", "image_url": "input_image"}
"""Types of parts as in a chat or a response, by what they are called in an input."""


def completed(item: Any) -> Any:
    """Return an item with the types, ids and details that vLLM's types require and agents omit or send as null.

    What is not an object is returned as it is, for the validation to refuse.

    Raises:
        VLLMValidationError: an image has no data.
    """
    if not isinstance(item, dict):
        return item
    item = without_nulls(item)
    if "role" in item:
        item.setdefault("type", MESSAGE)
    if item.get("type") == "reasoning":
        item.setdefault("summary", [])
    for name in ("content", "output"):
        if item.get("type") != "reasoning" and isinstance(item.get(name), list):
            item[name] = [_completed_part(part) for part in item[name]]
    return _as_output(item) if item.get("role") == "assistant" else item


def _completed_part(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    part = without_nulls(part)
    kind = part.get("type", "image_url" if "image_url" in part else "text")
    part["type"] = PARTS.get(kind, kind) if isinstance(kind, str) else kind
    if part["type"] == "input_image":
        image = part.get("image_url")
        if isinstance(image, dict):
            part |= {"image_url": image.get("url"), "detail": image.get("detail") or "auto"}
        part.setdefault("detail", "auto")
        if not part.get("image_url"):
            raise VLLMValidationError(
                "An input_image has no image_url. Send its data as image_url: files cannot be uploaded.",
                parameter="input",
            )
    return part


def _as_output(item: dict[str, Any]) -> dict[str, Any]:
    """Return an assistant's message in the form of a response's output. vLLM 0.32 reads its first part only."""
    content = item.setdefault("content", "")
    if not isinstance(content, list):
        return item
    parts = [part.get("text", part.get("refusal")) if isinstance(part, dict) else None for part in content]
    texts = [text for text in parts if isinstance(text, str)]
    if len(texts) < len(parts):
        return item
    whole = {"type": "output_text", "text": "".join(texts), "annotations": []}
    return {"id": f"msg_{uuid4().hex}", "status": "completed", **item, "content": [whole]}


def without_nulls(value: dict[str, Any]) -> dict[str, Any]:
    """Return an object without its fields that are null."""
    return {name: each for name, each in value.items() if each is not None}


def _members(union: Any) -> Iterator[Any]:
    """Yield the types in nested unions."""
    if get_origin(union) is Annotated:
        yield from _members(get_args(union)[0])
    elif get_origin(union) is Union or type(union).__name__ == "UnionType":
        for member in get_args(union):
            yield from _members(member)
    else:
        yield union


def _literals(annotation: Any) -> Iterator[str]:
    """Yield the values of the `Literal` in an annotation such as `Required[Literal["message"]]`."""
    for argument in get_args(annotation):
        if get_origin(annotation) is Literal:
            yield argument
        else:
            yield from _literals(argument)


def _kind(item: Any) -> str | None:
    kind = item.get("type") if isinstance(item, dict) else getattr(item, "type", None)
    return kind if isinstance(kind, str) else None


def _by_kind(union: Any) -> Any:
    """Return a union that chooses among its members by `type`.

    Pydantic would try all members of an undiscriminated union: eighty errors, or fifty microseconds, an item.
    """
    members = defaultdict[str, list[Any]](list)
    for member in _members(union):
        hints = member.model_fields if issubclass(member, BaseModel) else get_type_hints(member, include_extras=True)
        kind = hints["type"].annotation if issubclass(member, BaseModel) else hints["type"]
        for value in _literals(kind):
            members[value].append(member)
    tagged = tuple(Annotated[Union[tuple(types)], Tag(kind)] for kind, types in members.items())  # noqa: UP007
    unknown = "The item has no type, or none that is known"
    return Annotated[Union[tagged], Discriminator(_kind, "item_type", unknown)]  # noqa: UP007


Item = _by_kind(ResponseInputOutputItem)
