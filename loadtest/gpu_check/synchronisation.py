"""Whether pruning makes the host wait for its GPU."""

from collections.abc import Callable

import torch

from gprune_vllm.selectors import selector_names
from loadtest.benchmarks.worker import without_waiting
from loadtest.gpu_check.model import Model

FREE, NOT_CHECKED = "never waits", "not checked: no CUDA device"


@torch.inference_mode()
def check_methods(model: Model, ratio: float) -> dict[str, str]:
    """For each method whether the way from features to embeddings waits, or where it does."""
    plan = model.shape.plan(model.shape.picture, ratio)
    features = model.tower(model.pixels(plan))

    def prune(method: str) -> Callable[[], object]:
        return lambda: model.project(model.select(features, plan, method), plan)

    found = {method: check(prune(method), model.device) for method in selector_names()}
    return {**found, "control, which waits": check(lambda: features.sum().item(), model.device)}


def check(work: Callable[[], object], device: str) -> str:
    """Whether some work waits for its device. It is run once before, so that what it loads is there."""
    work()
    if device != "cuda":
        return NOT_CHECKED
    try:
        without_waiting(work)()
    except RuntimeError as error:
        return f"waits: {error}"
    return FREE
