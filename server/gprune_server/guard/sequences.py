"""How many sequences a request asks the engine for."""

from typing import Any

from vllm.exceptions import VLLMValidationError


def count_sequences(body: Any) -> int:
    """Prompts of a request body, of any generating endpoint, times the answers it asks for to each."""
    return _prompts(body) * max(1, getattr(body, "n", None) or 1)


def check_sequences(body: Any, limit: int) -> None:
    """Raises:
    VLLMValidationError: a request asks for more sequences than `limit`.
    """
    many = "prompt" if hasattr(body, "prompt") else "messages"
    check_number(count_sequences(body), limit, many if _prompts(body) > limit else "n")


def check_number(sequences: int, limit: int, parameter: str) -> None:
    """Raises:
    VLLMValidationError: there are more sequences than `limit`, and `parameter` is to blame.
    """
    if sequences > limit:
        raise VLLMValidationError(
            f"the request asks for {sequences} sequences; this server takes {limit} (--max-request-sequences)",
            parameter=parameter,
        )


def _prompts(body: Any) -> int:
    """Conversations of a batch, or prompts of a completion: text or token ids, one or a list of them."""
    embeds = getattr(body, "prompt_embeds", None)
    others = len(embeds) if isinstance(embeds, list) else int(embeds is not None)
    many = getattr(body, "prompt", None) or getattr(body, "messages", None)
    listed = isinstance(many, list) and bool(many) and isinstance(many[0], (list, str))
    return (len(many) if listed else int(many is not None)) + others  # type: ignore[arg-type]
