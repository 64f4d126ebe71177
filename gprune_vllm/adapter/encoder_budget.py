"""How many crops one step may send through the vision tower: as many as vLLM profiled the memory of."""

from typing import TYPE_CHECKING, Any

from vllm.v1.core.encoder_cache_manager import EncoderCacheManager

from gprune_vllm.plan import TokenPlan, largest_plan

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.multimodal.inputs import MultiModalFeatureSpec
    from vllm.v1.request import Request


class CropBudget(EncoderCacheManager):
    """Changes against `vllm.v1.core.encoder_cache_manager.EncoderCacheManager` (vLLM 0.32): an image waits for another
    step where it would bring more crops than vLLM profiled.

    vLLM charges an image by its tokens. Of a pruned image these are few, and of a narrow one there never were many, but
    all of its crops lie on the device and go through the tower.
    """

    def __init__(self, cache_size: int, crop_limit: int, largest_image: int) -> None:
        super().__init__(cache_size)
        self._crop_limit, self._largest_image = crop_limit, largest_image
        self._crops = 0

    @classmethod
    def create_manager(cls, *, cache_size: int, vllm_config: "VllmConfig") -> "CropBudget":
        return cls(cache_size, profiled_crops(vllm_config), _largest_image(vllm_config).crops)

    def can_allocate(
        self, request: "Request", input_id: int, encoder_compute_budget: int, num_embeds_to_schedule: int
    ) -> bool:
        crops = self._count(request.mm_features[input_id])
        if self._crops and self._crops + crops > self._crop_limit:
            return False
        if not super().can_allocate(request, input_id, encoder_compute_budget, num_embeds_to_schedule):
            return False
        self._crops += crops
        return True

    def get_manager_metadata(self) -> Any:
        """Asked for once a step, when all of it is settled: the next one begins anew."""
        self._crops = 0
        return super().get_manager_metadata()

    def _count(self, feature: "MultiModalFeatureSpec") -> int:
        """Crops of an image, padding counted. Under vLLM's shared-memory cache only workers see them."""
        item = feature.data or {}
        if "image_embeds" in item:
            return 0
        return len(item["pixel_values"].data) if "pixel_values" in item else self._largest_image


def profiled_crops(vllm_config: "VllmConfig") -> int:
    """Crops that vLLM's memory profiling runs through the tower at once. See `vllm.multimodal.encoder_budget`."""
    largest, scheduler = _largest_image(vllm_config), vllm_config.scheduler_config
    by_encoder = min(scheduler.max_num_encoder_input_tokens, scheduler.encoder_cache_size) // largest.input
    limit = vllm_config.model_config.get_multimodal_config().get_limit_per_prompt("image")
    by_prompts = scheduler.max_num_seqs * max(1, min(limit, vllm_config.model_config.max_model_len // largest.input))
    images: int = max(1, min(by_encoder, by_prompts))
    return images * largest.crops


def _largest_image(vllm_config: "VllmConfig") -> TokenPlan:
    config = vllm_config.model_config.hf_config
    return largest_plan(config.image_grid_pinpoints, config.vision_config.image_size, config.vision_config.patch_size)
