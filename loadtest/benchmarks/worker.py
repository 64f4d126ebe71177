"""What benchmarks ask of vLLM's workers beside answers."""

from collections.abc import Callable
from typing import Any

import torch

from loadtest.benchmarks.timing import stopwatch

PRUNING_PATH = ("_keep", "_merge", "_take_offsets")
"""Methods of `gprune_vllm.model` that run for pruned images only, or only for them do something."""


class MeasuringWorker:
    """Extension of vLLM's workers (`parallel_config.worker_extension_cls`, vLLM 0.32), with the plugin or without."""

    get_model: Any
    device: torch.device

    @torch.inference_mode()
    def tower_seconds(self, crops: int) -> float:
        """How long the vision tower takes for an image of so many crops."""
        model = self.get_model()
        side, dtype = model.config.vision_config.image_size, next(model.vision_tower.parameters()).dtype
        pixels = torch.randn(crops, 3, side, side, device=self.device, dtype=dtype)
        clock = stopwatch(self.device.type)
        return clock(lambda: model._image_pixels_to_features(model.vision_tower, pixels))

    def refuse_synchronisation(self) -> None:
        """From now on pruning raises where it makes the host wait for its device. CUDA only."""
        model = self.get_model()
        for name in PRUNING_PATH:
            setattr(model, name, without_waiting(getattr(model, name)))


def without_waiting(work: Callable[..., Any]) -> Callable[..., Any]:
    """The same work, which raises RuntimeError where the host waits for its device. CUDA only."""

    def guarded(*arguments: Any) -> Any:
        before = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")
        try:
            return work(*arguments)
        finally:
            torch.cuda.set_sync_debug_mode(before)

    return guarded
