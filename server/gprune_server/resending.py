"""Resending prompts whose images the engine no longer has.

vLLM 0.32 sends an image once and later only its hash, as long as its two caches agree. They diverge when a request is
refused after its image was processed, when a request overtakes another one with the same image, and when both caches
are full and see requests in a different order. vLLM then responds with 500 and forgets the hash, so that a retry works.
"""

from typing import Any

from vllm.exceptions import RetryableRequestError

from gprune_vllm.account import PruneRecord


def lacks_images(prompt: Any, output: Any) -> bool:
    """Return whether an output may report that the engine does not have an image sent by hash only.

    Before the first token, this cannot be distinguished from other errors. Resending is harmless for those.
    """
    images = prompt.get("mm_kwargs", {}) if isinstance(prompt, dict) else {}
    hash_only = any(item is None for items in images.values() for item in items)
    return hash_only and any(each.finish_reason == "error" and not each.token_ids for each in output.outputs)


async def with_images(prompt: Any) -> Any:
    """Return the prompt with the data of all its images.

    Raises:
        RetryableRequestError: the prompt cannot be rendered again, as with beam search.
    """
    record = PruneRecord.of(prompt)
    if record is None or record.render is None:
        raise RetryableRequestError("An image was dropped from a cache. Retry the request.")
    return {**prompt, "mm_kwargs": (await record.render())["mm_kwargs"]}
