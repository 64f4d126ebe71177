"""Kimi-VL: a grid of merged patches under plain RoPE, whose size follows the image's own."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers.models.kimi_k25.image_processing_kimi_k25 import navit_resize
from vllm.model_executor.models.interfaces import SupportsMRoPE
from vllm.model_executor.models.kimi_vl import (
    KimiVLDummyInputsBuilder,
    KimiVLForConditionalGeneration,
    KimiVLMultiModalProcessor,
    KimiVLProcessingInfo,
    MaxImageTokenMeta,
)
from vllm.model_executor.models.moonvit import patch_merger
from vllm.multimodal import MULTIMODAL_REGISTRY

from gprune_vllm.adapter.family import Family, Layout
from gprune_vllm.adapter.info import PruningInfo
from gprune_vllm.adapter.model import PruningModel
from gprune_vllm.adapter.processor import PruningProcessor
from gprune_vllm.plan import Group, MediaSize, PlannedImage, PruneSpec, TokenPlan

PATCHES_PER_SIDE = 512
"""Rows and columns in the rotary table of the tower, MoonViT. The model's processor takes fewer patches than that."""
UNLIMITED = 10**9


class KimiVL(Family):
    """Kimi-VL. Source of the counts: vLLM 0.32, with the arithmetic of Transformers 5 for the next model, Kimi-K2.5.

    An image of too many patches is made smaller, and padded to whole tokens. A token is a square of patches, and is
    scored on these, one after the other, as they are before the tower's last norm: behind it all are about as long.
    """

    groups: ClassVar[tuple[str, ...]] = ("image",)
    scored_in_tower: ClassVar[bool] = True

    def check(self, hf_config: Any) -> None:
        """Every such model is laid out alike."""

    def resized(self, info: Any, modality: str, size: MediaSize, kwargs: Mapping[str, object]) -> MediaSize:
        processor = info.get_hf_processor().image_processor
        _, (height, width) = navit_resize(
            size.height,
            size.width,
            patch_size=processor.patch_size,
            merge_kernel_size=processor.merge_kernel_size[0],
            max_patches=processor.in_token_limit,
            max_size_per_side=UNLIMITED,
        )
        if max(height, width) // processor.patch_size >= PATCHES_PER_SIDE:
            raise ValueError(f"it has {PATCHES_PER_SIDE} patches or more in a row or column")
        return MediaSize(height, width)

    def plan(self, hf_config: Any, size: MediaSize, spec: PruneSpec) -> TokenPlan:
        patch, (down, across) = hf_config.vision_config.patch_size, hf_config.vision_config.merge_kernel_size
        rows, columns = size.height // (patch * down), size.width // (patch * across)
        tokens = rows * columns
        (kept,) = spec.split(tokens)
        return TokenPlan((Group(rows, columns, kept),), structural=0, span=tokens, units=tokens * down * across)

    def largest(self, info: Any, modality: str) -> TokenPlan:
        size = MediaSize(MaxImageTokenMeta.height, MaxImageTokenMeta.width)
        return info.plan(modality, size, PruneSpec())  # type: ignore[no-any-return]

    def layout(self, plan: TokenPlan, device: torch.device | None = None) -> Layout:
        positions = torch.arange(plan.patches, device=device)
        return Layout([positions], positions[:0])

    def projector(self, model: Any) -> tuple[nn.Module, str]:
        return model.vision_tower.encoder, "final_layernorm"

    def placeholder(self, info: Any, modality: str) -> list[int]:
        return [int(info.config.media_placeholder_token_id)]

    def units(self, item: Mapping[str, Any]) -> int:
        return int(item["image_grid_hws"].data.prod())

    def pixels(self, modality: str, outputs: Mapping[str, Any], index: int, plan: TokenPlan) -> Tensor:
        part: Tensor = outputs["pixel_values"].split(outputs["image_grid_hws"].prod(-1).tolist())[index]
        return part

    def features(self, model: Any, caught: Sequence[Tensor], planned: Sequence[PlannedImage]) -> Sequence[Tensor]:
        down, across = model.config.vision_config.merge_kernel_size
        groups = [group for image in planned for group in image.plan.groups]
        grids = torch.tensor([[group.rows * down, group.columns * across] for group in groups])
        squares = patch_merger(torch.cat(list(caught)), grids, (down, across))  # of each image [tokens, patches, size]
        return [patches.flatten(1) for patches in squares]


class GPruneKimiVLInfo(PruningInfo, KimiVLProcessingInfo):
    """Changes against `vllm.model_executor.models.kimi_vl.KimiVLProcessingInfo` (vLLM 0.32): those of `PruningInfo`."""

    family = KimiVL()


class GPruneKimiVLProcessor(PruningProcessor, KimiVLMultiModalProcessor):
    """Changes against `vllm.model_executor.models.kimi_vl.KimiVLMultiModalProcessor` (vLLM 0.32): those of
    `PruningProcessor`."""


@MULTIMODAL_REGISTRY.register_processor(
    GPruneKimiVLProcessor, info=GPruneKimiVLInfo, dummy_inputs=KimiVLDummyInputsBuilder
)
class GPruneKimiVLForConditionalGeneration(PruningModel, KimiVLForConditionalGeneration, SupportsMRoPE):
    """Changes against `vllm.model_executor.models.kimi_vl.KimiVLForConditionalGeneration` (vLLM 0.32): those of
    `PruningModel`."""

    family = GPruneKimiVLInfo.family
