"""LLaVA-1.5: one square grid of tokens, whatever the image's size."""

from typing import Any, ClassVar

import torch
from torch import nn
from vllm.model_executor.models.interfaces import SupportsMRoPE
from vllm.model_executor.models.llava import (
    LlavaDummyInputsBuilder,
    LlavaForConditionalGeneration,
    LlavaMultiModalProcessor,
    LlavaProcessingInfo,
)
from vllm.multimodal import MULTIMODAL_REGISTRY

from gprune_vllm.adapter.attention import TowerAttention
from gprune_vllm.adapter.family import Family, Layout
from gprune_vllm.adapter.info import PruningInfo
from gprune_vllm.adapter.model import PruningModel
from gprune_vllm.adapter.processor import PruningProcessor
from gprune_vllm.plan import Group, MediaSize, PruneSpec, TokenPlan

STRATEGIES = {"clip_vision_model": "default", "siglip_vision_model": "full"}
"""Values of `vision_feature_select_strategy` that leave one token a patch, by tower.

CLIP puts a class token before the patches, which "default" drops; SigLIP has none to drop.
"""


class Llava(Family):
    """LLaVA models with a CLIP or SigLIP tower. Source of the counts: Transformers 5 and vLLM 0.32."""

    groups: ClassVar[tuple[str, ...]] = ("image",)

    def check(self, hf_config: Any) -> None:
        tower, strategy = hf_config.vision_config.model_type, hf_config.vision_feature_select_strategy
        expected = STRATEGIES.get(tower)
        if expected is None:
            raise ValueError(
                f"Vision tower {tower!r} is not supported: gprune prunes LLaVA models with CLIP and SigLIP towers. "
                "Leave gprune out of VLLM_PLUGINS to serve this model without pruning."
            )
        if strategy != expected:
            raise ValueError(
                f"vision_feature_select_strategy {strategy!r} does not leave one token a patch of a {tower}. "
                f'Start with --hf-overrides \'{{"vision_feature_select_strategy": "{expected}"}}\'.'
            )

    def plan(self, hf_config: Any, size: MediaSize, spec: PruneSpec) -> TokenPlan:
        side = patches_per_side(hf_config)
        (kept,) = spec.split(side**2)
        return TokenPlan((Group(side, side, kept),), structural=0, span=side**2, units=1)

    def largest(self, info: Any, modality: str) -> TokenPlan:
        side = info.config.vision_config.image_size
        return self.plan(info.config, MediaSize(side, side), PruneSpec())

    def layout(self, plan: TokenPlan, device: torch.device | None = None) -> Layout:
        positions = torch.arange(plan.patches, device=device)
        return Layout([positions], positions[:0])

    def projector(self, model: Any) -> tuple[nn.Module, str]:
        return model, "multi_modal_projector"

    def placeholder(self, info: Any, modality: str) -> list[int]:
        return [int(getattr(info.config, f"{modality}_token_index"))]

    def attention(self, model: Any) -> TowerAttention:
        return TowerAttention(model.vision_tower, has_class_token(model.config))


def has_class_token(hf_config: Any) -> bool:
    """Whether the tower puts a class token before the patches."""
    return bool(hf_config.vision_feature_select_strategy == "default")


def patches_per_side(hf_config: Any) -> int:
    """Tokens along a side of what the tower sees at once."""
    return int(hf_config.vision_config.image_size // hf_config.vision_config.patch_size)


class GPruneLlavaInfo(PruningInfo, LlavaProcessingInfo):
    """Changes against `vllm.model_executor.models.llava.LlavaProcessingInfo` (vLLM 0.32): those of `PruningInfo`."""

    family = Llava()


class GPruneLlavaProcessor(PruningProcessor, LlavaMultiModalProcessor):
    """Changes against `vllm.model_executor.models.llava.LlavaMultiModalProcessor` (vLLM 0.32): those of
    `PruningProcessor`."""


@MULTIMODAL_REGISTRY.register_processor(
    GPruneLlavaProcessor, info=GPruneLlavaInfo, dummy_inputs=LlavaDummyInputsBuilder
)
class GPruneLlavaForConditionalGeneration(PruningModel, LlavaForConditionalGeneration, SupportsMRoPE):
    """Changes against `vllm.model_executor.models.llava.LlavaForConditionalGeneration` (vLLM 0.32): those of
    `PruningModel`, and

    - `get_mm_lora_token_counts` counts the tower's class token, for want of which upstream fails on adapters of CLIP.
    """

    family = GPruneLlavaInfo.family

    def get_mm_lora_token_counts(self, *, modality: str, mm_kwargs: Any, num_mm_embeds: int) -> tuple[int, int | None]:
        tower, connector = super().get_mm_lora_token_counts(
            modality=modality, mm_kwargs=mm_kwargs, num_mm_embeds=num_mm_embeds
        )
        return tower + has_class_token(self.config), connector
