"""Limit on the number of sequences per request."""

from typing import Any

from vllm.exceptions import VLLMValidationError


def count_sequences(body: Any) -> int:
    """Return the number of prompts in a body of any generating endpoint times the number of outputs of each."""
    return _prompts(body) * max(1, getattr(body, "n", None) or 1)


def check_sequences(body: Any, limit: int) -> None:
    """Check the number of sequences of a request body.

    Raises:
        VLLMValidationError: the number is above `limit`.
    """
    many = "prompt" if hasattr(body, "prompt") else "messages"
    check_number(count_sequences(body), limit, many if _prompts(body) > limit else "n")


def check_number(sequences: int, limit: int, parameter: str) -> None:
    """Check a number of sequences.

    Raises:
        VLLMValidationError: the number is above `limit`; the error names the field `parameter`.
    """
    if sequences > limit:
        raise VLLMValidationError(
            f"The request asks for {sequences} sequences, but the limit is {limit} (--max-request-sequences). "
            "Send fewer prompts or a smaller n.",
            parameter=parameter,
        )


def _prompts(body: Any) -> int:
    """Return the number of conversations in a batch, or of prompts in a completion, given as text, ids or embeddings.

    One prompt may stand alone or in a list.
    """
    embeds = getattr(body, "prompt_embeds", None)
    others = len(embeds) if isinstance(embeds, list) else int(embeds is not None)
    many = getattr(body, "prompt", None) or getattr(body, "messages", None)
    listed = isinstance(many, list) and bool(many) and isinstance(many[0], (list, str))
    return (len(many) if listed else int(many is not None)) + others  # type: ignore[arg-type]
