"""The client that questions are asked with."""

import os
from typing import Any

TIMEOUT = 600
"""Seconds until a question that is not answered has failed."""


def client_options(url: str, timeout: float = TIMEOUT) -> dict[str, Any]:
    """Arguments of `OpenAI` and `AsyncOpenAI` for the server at a URL, with or without `/v1`.

    The key is that in `VLLM_API_KEY`, where vLLM's servers take theirs from: `OPENAI_API_KEY` is that of the API which
    scores some tasks of lmms-eval. No request is sent again: one that fails ends an evaluation.
    """
    base = f"{url.rstrip('/').removesuffix('/v1')}/v1"
    return {"base_url": base, "api_key": os.environ.get("VLLM_API_KEY") or "none", "max_retries": 0, "timeout": timeout}
