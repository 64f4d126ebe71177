"""LLaVA-OneVision: LLaVA-NeXT's base crop and grid, whose grid is resized where it is large. Pruned behind that."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from vllm.model_executor.models.interfaces import SupportsMRoPE
from vllm.model_executor.models.llava_onevision import (
    LlavaOnevisionDummyInputsBuilder,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionMultiModalProcessor,
    LlavaOnevisionProcessingInfo,
)
from vllm.multimodal import MULTIMODAL_REGISTRY

from gprune_vllm.adapter.family import Family
from gprune_vllm.adapter.info import PruningInfo
from gprune_vllm.adapter.model import PruningModel
from gprune_vllm.adapter.processor import PruningProcessor
from gprune_vllm.families.anyres import plan_tokens
from gprune_vllm.families.llava_next import LlavaNext, geometry_of
from gprune_vllm.plan import MediaSize, PlannedImage, PruneSpec, TokenPlan

MOST_CROPS = 9
"""The "9" of `vision_aspect_ratio` "anyres_max_9", which vLLM 0.32 takes whatever the configuration says."""


class LlavaOneVision(LlavaNext):
    """LLaVA-OneVision. Source of the counts: Transformers 5 and vLLM 0.32.

    A grid of more tokens than 9 crops have is resized, so that a token is made of several. Before the projector tokens
    are scored on features of the tower that are resized alike. A plan's geometry is the image's height and width.
    """

    split = Family.split
    attention = Family.attention  # type: ignore[assignment]  # what is seen of crops is not resized

    def plan(self, hf_config: Any, size: MediaSize, spec: PruneSpec) -> TokenPlan:
        plan = plan_tokens((size.height, size.width), *geometry_of(hf_config), spec, MOST_CROPS)
        return replace(plan, geometry=(size.height, size.width))

    def largest(self, info: Any, modality: str) -> TokenPlan:
        size = info.get_image_size_with_most_features()
        return self.plan(info.config, MediaSize(size.height, size.width), PruneSpec())

    def features(self, model: Any, caught: Sequence[Tensor], planned: Sequence[PlannedImage]) -> Sequence[Tensor]:
        # One call for each image, or one for all, whose crops are then padded to the same number.
        crops = caught if len(caught) == len(planned) else caught[0].chunk(len(planned))
        newline = crops[0].new_zeros(crops[0].shape[-1])  # is never selected
        return [
            model._merge_image_patch_embeddings(
                torch.tensor(image.plan.geometry), part, image_newline=newline, strategy="spatial_unpad"
            )
            for part, image in zip(crops, planned, strict=True)
        ]


class GPruneLlavaOnevisionInfo(PruningInfo, LlavaOnevisionProcessingInfo):
    """Changes against `vllm.model_executor.models.llava_onevision.LlavaOnevisionProcessingInfo` (vLLM 0.32): those of
    `PruningInfo`."""

    family = LlavaOneVision()


class GPruneLlavaOnevisionProcessor(PruningProcessor, LlavaOnevisionMultiModalProcessor):
    """Changes against `vllm.model_executor.models.llava_onevision.LlavaOnevisionMultiModalProcessor` (vLLM 0.32): those
    of `PruningProcessor`."""


@MULTIMODAL_REGISTRY.register_processor(
    GPruneLlavaOnevisionProcessor, info=GPruneLlavaOnevisionInfo, dummy_inputs=LlavaOnevisionDummyInputsBuilder
)
class GPruneLlavaOnevisionForConditionalGeneration(PruningModel, LlavaOnevisionForConditionalGeneration, SupportsMRoPE):
    """Changes against `vllm.model_executor.models.llava_onevision.LlavaOnevisionForConditionalGeneration` (vLLM 0.32):
    those of `PruningModel`."""

    family = GPruneLlavaOnevisionInfo.family
