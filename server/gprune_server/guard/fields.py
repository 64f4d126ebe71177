"""Fields of a body that its route would ignore, although the response depends on them."""

import re
from typing import Any, get_args

from fastapi.routing import APIRoute
from pydantic import BaseModel
from vllm.entrypoints.openai.chat_completion.protocol import BatchChatCompletionRequest, ChatCompletionRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.exceptions import VLLMValidationError

from gprune_server.api.schema import Prunable
from gprune_server.guard.texts import strings

MEDIA = re.compile(r"multi_?modal|^mm_|image|video|audio|picture|photo|media|pixel|^files?$", re.IGNORECASE)
"""Names of fields that would carry images or other media."""
EMPTY: tuple[Any, ...] = (None, "", [], {})
MEDIA_PARTS = frozenset(("image_url", "audio_url", "video_url", "input_image", "input_audio"))
"""Types and names of media within a message."""
PARTS = frozenset(("messages", "input", "system"))
"""Fields with messages."""
CALLS = ("tool_use", "function", "function_call", "custom_tool_call")
"""Types of what has a tool's arguments, of any name."""
INVOCATIONS = "/invocations"
"""Route of Amazon SageMaker."""
UNBATCHED = frozenset(
    (
        *("stream", "stream_options", "stream_interval", "tools", "functions", "function_call", "parallel_tool_calls"),
        *("prompt_logprobs", "return_prompt_text", "return_token_offsets", "routed_experts_prompt_start"),
        *("best_of", "length_penalty", "early_stopping", "guided_decoding_backend"),
    )
)
"""Fields that vLLM 0.32 accepts for a batch, and ignores or, as for streams, mishandles."""


def check_fields(route: APIRoute, body: dict[str, Any]) -> None:
    """Check that a route does not ignore a field of its body that carries media or sets pruning.

    Raises:
        VLLMValidationError: it would; the error names the field.
    """
    _check_nested(body)
    known = _known(route, body)
    for field in body.keys() - known:
        if body[field] not in EMPTY and (field in Prunable.model_fields or _carries_media(field, body[field])):
            raise _refusal(field, f"{route.path} has no such field. Omit it, or use a route that has it.")
    for field in PARTS & body.keys():
        _check_parts(field, body[field])
    if BatchChatCompletionRequest in [parent for model in _models(route) for parent in model.__mro__]:
        _check_batch(body)


def _check_nested(body: dict[str, Any]) -> None:
    """Check that pruning fields are not inside of the argument with which OpenAI's client adds fields to a body."""
    nested = body.get("extra_body")
    for field in Prunable.model_fields.keys() & (nested.keys() if isinstance(nested, dict) else ()):
        raise VLLMValidationError(
            f"{field} is inside extra_body, without effect. Send {field} as a field of the body itself. OpenAI's "
            "Python client does so with extra_body as an argument of the call; without that client, there is no "
            "extra_body.",
            parameter=f"extra_body.{field}",
        )


def _check_parts(field: str, value: Any) -> None:
    """Check that no message has media beside its content, and no part other media than its type says."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, dict) and value.get("type") not in CALLS:
            pending.extend(value.values())
            kind = value.get("type")
            if "role" in value or (isinstance(kind, str) and not MEDIA.search(kind[:100])):
                _check_text_only(field, value)


def _check_text_only(field: str, part: dict[str, Any]) -> None:
    for name, value in part.items():
        if value not in EMPTY and MEDIA.search(name[:100]) and not name.endswith("_type"):
            where = f"a {str(part.get('type', 'message'))[:100]} of {field}"
            raise VLLMValidationError(
                f"{name[:100]} in {where} would be ignored. Send media as parts of their own in a message's content.",
                parameter=field,
            )


def _carries_media(field: str, value: Any) -> bool:
    """Return whether a field has media, by its name or by what is in it."""
    if field == "metadata":  # means nothing to the server
        return False
    found = strings(value, field)
    return bool(MEDIA.search(field[:100])) or any(text in MEDIA_PARTS or text.startswith("data:") for _, text in found)


def _check_batch(body: dict[str, Any]) -> None:
    """Check that a batch sets none of the fields that it cannot honour to anything but its default."""
    for field in UNBATCHED & body.keys():
        declared = ChatCompletionRequest.model_fields.get(field) or BatchChatCompletionRequest.model_fields.get(field)
        if body[field] not in (*EMPTY, declared.default if declared is not None else None):
            raise _refusal(field, "A batch cannot honour it. Omit it, or send the conversations one by one.")


def _models(route: APIRoute) -> tuple[type[BaseModel], ...]:
    """Return the types that the body of a route may have."""
    body = route.body_field.field_info.annotation if route.body_field is not None else None
    return tuple(each for each in get_args(body) or (body,) if isinstance(each, type) and issubclass(each, BaseModel))


def _known(route: APIRoute, body: dict[str, Any]) -> set[str]:
    """Return the names of the fields that a route has.

    `/invocations` declares no body, and takes chats and completions. Where vLLM renders a chat it reads pruning fields
    from it, whether or not its type declares them.
    """
    models = _models(route)
    if not models and route.path == INVOCATIONS:
        models = (ChatCompletionRequest if "messages" in body else CompletionRequest,)
    fields = [(name, field.alias) for model in models for name, field in model.model_fields.items()]
    names = {name for pair in fields for name in pair if name is not None}
    open_ended = all(model.model_config.get("extra") == "allow" for model in models)
    renders = "messages" in names & body.keys() and open_ended
    return names | Prunable.model_fields.keys() if renders else names


def _refusal(field: str, reason: str) -> VLLMValidationError:
    return VLLMValidationError(f"{field[:100]} is not supported here: {reason}", parameter=field[:100])
