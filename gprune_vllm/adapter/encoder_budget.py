"""Limit of the tower work in one step: as much as vLLM profiled the memory of."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.v1.core.encoder_cache_manager import EncoderCacheManager

from gprune_vllm.adapter.inputs import planned_in
from gprune_vllm.families import family_of
from gprune_vllm.plan import TokenPlan

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.multimodal.inputs import MultiModalFeatureSpec
    from vllm.v1.request import Request

    from gprune_vllm.adapter.family import Family


class TowerBudget(EncoderCacheManager):
    """Changes against `vllm.v1.core.encoder_cache_manager.EncoderCacheManager` (vLLM 0.32): an image waits for another
    step where it would bring more units of tower work, such as crops, than vLLM profiled.

    vLLM charges an image by its tokens. Of a pruned image these are few, and of a narrow one there never were many, but
    all of its crops lie on the device and go through the tower.
    """

    def __init__(self, cache_size: int, family: "Family", limit: int, largest: Mapping[str, TokenPlan]) -> None:
        super().__init__(cache_size)
        self._family, self._limit, self._largest = family, limit, largest
        self._units = 0

    @classmethod
    def create_manager(cls, *, cache_size: int, vllm_config: "VllmConfig") -> "TowerBudget":
        family = family_of(vllm_config.model_config.architecture)
        return cls(cache_size, family, profiled_units(vllm_config), largest_plans(vllm_config))

    def can_allocate(
        self, request: "Request", input_id: int, encoder_compute_budget: int, num_embeds_to_schedule: int
    ) -> bool:
        units = self._count(request.mm_features[input_id])
        if self._units and self._units + units > self._limit:
            return False
        if not super().can_allocate(request, input_id, encoder_compute_budget, num_embeds_to_schedule):
            return False
        self._units += units
        return True

    def get_manager_metadata(self) -> Any:
        """Reset the count. vLLM asks for the metadata once a step, when all of the step is settled."""
        self._units = 0
        return super().get_manager_metadata()

    def _count(self, feature: "MultiModalFeatureSpec") -> int:
        """Units of an image or video, padding counted. Under vLLM's shared-memory cache only workers see its data."""
        item = feature.data or {}
        if f"{feature.modality}_embeds" in item or feature.modality not in self._largest:
            return 0  # no work, or as much as vLLM charges it by
        return self._family.units(item) if planned_in(item) else self._largest[feature.modality].units


def profiled_units(vllm_config: "VllmConfig") -> int:
    """Units that vLLM's memory profiling runs through the tower at once. See `vllm.multimodal.encoder_budget`."""
    modality, largest = max(largest_plans(vllm_config).items(), key=lambda item: (item[1].input, item[0]))
    scheduler = vllm_config.scheduler_config
    by_encoder = min(scheduler.max_num_encoder_input_tokens, scheduler.encoder_cache_size) // largest.input
    limit = vllm_config.model_config.get_multimodal_config().get_limit_per_prompt(modality)
    by_prompts = scheduler.max_num_seqs * max(1, min(limit, vllm_config.model_config.max_model_len // largest.input))
    images: int = max(1, min(by_encoder, by_prompts))
    return images * largest.units


def tower_limit(vllm_config: "VllmConfig") -> int:
    """Units that the tower may run in one call."""
    if vllm_config.lora_config is not None and vllm_config.lora_config.enable_tower_connector_lora:
        # vLLM lays out one adapter mapping for all images of a call, so that the call cannot be split.
        return torch.iinfo(torch.int64).max
    return profiled_units(vllm_config)


def largest_plans(vllm_config: "VllmConfig") -> dict[str, TokenPlan]:
    """Plan what has the most visual tokens, unpruned, of each modality that the server takes."""
    model_config = vllm_config.model_config
    family, info = family_of(model_config.architecture), MULTIMODAL_REGISTRY.create_processor(model_config).info
    limits = info.allowed_mm_limits
    taken = [each for each in family.modalities if limits.get(each)] or family.modalities[:1]
    return {modality: family.largest(info, modality) for modality in taken}
