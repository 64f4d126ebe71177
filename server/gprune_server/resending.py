"""Prompts whose images the engine turns out not to have: they are made again, with the images, and sent again.

vLLM 0.32 sends an image once and then its name, as long as its two caches agree. They drift apart where a request is
refused after its image was processed, where another one with the same image overtakes it, and where both are full and
see requests in another order. vLLM then answers with a 500 and forgets the name, so that the client may try again.
"""

from typing import Any

from vllm.exceptions import RetryableRequestError

RENDER_KEY = "gprune_render"
"""Extra key of an engine input, ignored by the engine: an asynchronous function that makes the input anew, whole."""


def lacks_images(prompt: Any, output: Any) -> bool:
    """Whether an output says that the engine has not got an image that it was sent the name of.

    Before the first token this cannot be told from other errors; sending such a prompt again does no harm.
    """
    images = prompt.get("mm_kwargs", {}) if isinstance(prompt, dict) else {}
    named_only = any(item is None for items in images.values() for item in items)
    return named_only and any(each.finish_reason == "error" and not each.token_ids for each in output.outputs)


async def with_images(prompt: Any) -> Any:
    """The prompt with the data of all its images.

    Raises:
        RetryableRequestError: it cannot be made again, as those of a beam search cannot; the client may try again.
    """
    if RENDER_KEY not in prompt:
        raise RetryableRequestError("an image was dropped from a cache; please try again")
    return {**prompt, "mm_kwargs": (await prompt[RENDER_KEY]())["mm_kwargs"]}
