"""Defaults for limits of vLLM's own that are unlimited otherwise, under `gprune-serve` and under `vllm serve`."""

from typing import Any

from vllm.config.multimodal import ImageDummyOptions

MAX_IMAGES = 16
MAX_REQUESTS = 2048


def apply_limits(engine_client: Any) -> None:
    """Set the limits that the operator has not set. Only this process, which admits requests, needs to know them.

    vLLM 0.32 reads both again for each request, but caches the number of images where its renderer was warmed up.
    With several API servers, each counts its own requests unless `--max-num-queued-reqs` is given.

    Args:
        engine_client: `vllm.engine.protocol.EngineClient` (vLLM 0.32).
    """
    scheduler = engine_client.vllm_config.scheduler_config
    if scheduler.max_num_queued_reqs is None:
        scheduler.max_num_queued_reqs = MAX_REQUESTS
    multimodal = engine_client.model_config.multimodal_config
    if multimodal is not None and "image" not in multimodal.limit_per_prompt:
        multimodal.limit_per_prompt["image"] = ImageDummyOptions(count=MAX_IMAGES)
        vars(engine_client.renderer.get_mm_processor().info).pop("allowed_mm_limits", None)
