"""vLLM's own limits hold where the operator has set none."""

from types import SimpleNamespace
from typing import Any

import pytest
from vllm.config.multimodal import MultiModalConfig

from gprune_server.guard.upstream_limits import MAX_IMAGES, MAX_REQUESTS, apply_limits


def engine(max_requests: int | None, multimodal: MultiModalConfig | None) -> Any:
    """A client of an engine whose renderer has cached that a prompt may have any number of images."""
    info = SimpleNamespace(allowed_mm_limits={"image": 999})
    return SimpleNamespace(
        vllm_config=SimpleNamespace(scheduler_config=SimpleNamespace(max_num_queued_reqs=max_requests)),
        model_config=SimpleNamespace(multimodal_config=multimodal),
        renderer=SimpleNamespace(get_mm_processor=lambda: SimpleNamespace(info=info)),
    )


def test_limits_that_nobody_set_are_set() -> None:
    client = engine(None, MultiModalConfig())
    apply_limits(client)
    assert client.vllm_config.scheduler_config.max_num_queued_reqs == MAX_REQUESTS
    assert client.model_config.multimodal_config.get_limit_per_prompt("image") == MAX_IMAGES
    assert not hasattr(client.renderer.get_mm_processor().info, "allowed_mm_limits")


@pytest.mark.parametrize("most", [0, 3, 5000])
def test_limits_of_the_operator_stay(most: int) -> None:
    client = engine(most, MultiModalConfig(limit_per_prompt={"image": most}))
    apply_limits(client)
    assert client.vllm_config.scheduler_config.max_num_queued_reqs == most
    assert client.model_config.multimodal_config.get_limit_per_prompt("image") == most
    assert client.renderer.get_mm_processor().info.allowed_mm_limits


def test_a_model_of_text_alone_has_a_limit_on_requests() -> None:
    client = engine(None, None)
    apply_limits(client)
    assert client.vllm_config.scheduler_config.max_num_queued_reqs == MAX_REQUESTS
