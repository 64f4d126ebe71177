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
    sequences = count_sequences(body)
    if sequences > limit:
        many = "prompt" if hasattr(body, "prompt") else "messages"
        raise VLLMValidationError(
            f"the request asks for {sequences} sequences; this server takes {limit} (--max-request-sequences)",
            parameter=many if _prompts(body) > limit else "n",
        )


def _prompts(body: Any) -> int:
    """Conversations of a batch, or prompts of a completion: text or token ids, one or a list of them."""
    embeds = getattr(body, "prompt_embeds", None)
    others = len(embeds) if isinstance(embeds, list) else int(embeds is not None)
    many = getattr(body, "prompt", None) or getattr(body, "messages", None)
    listed = isinstance(many, list) and bool(many) and isinstance(many[0], (list, str))
    return (len(many) if listed else int(many is not None)) + others  # type: ignore[arg-type]
