"""InternVL, from 2 to 3.5, in the format of Transformers: a grid of tiles, and a thumbnail behind."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers.models.got_ocr2.image_processing_got_ocr2 import get_optimal_tiled_canvas
from vllm.model_executor.models.interfaces import SupportsMRoPE
from vllm.model_executor.models.interns1 import (
    InternS1DummyInputsBuilder,
    InternS1ForConditionalGeneration,
    InternS1MultiModalProcessor,
    InternS1ProcessingInfo,
)
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.processing import cached_encode

from gprune_vllm.adapter.family import Family, Layout
from gprune_vllm.adapter.info import PruningInfo
from gprune_vllm.adapter.model import PruningModel
from gprune_vllm.adapter.processor import PruningProcessor
from gprune_vllm.families.tiles import EMPTY, tile_by_tile, tile_size, tokens_per_side
from gprune_vllm.plan import Group, MediaSize, PruneSpec, TokenPlan


class InternVL(Family):
    """InternVL in the format of Transformers.

    An image is resized to a grid of tiles, whose tokens are one group. Two tiles or more are followed by a thumbnail of
    the image, another group. A token is a square of patches ("pixel shuffle"), and is scored on these. Each frame of a
    video is a tile, and keeps as many tokens as any other. Source of the counts: Transformers 5.
    """

    groups: ClassVar[tuple[str, ...]] = ("tiles", "thumbnail")
    modalities: ClassVar[tuple[str, ...]] = ("image", "video")
    pixel_fields: ClassVar[Mapping[str, str]] = {"image": "pixel_values", "video": "pixel_values_videos"}

    def check(self, hf_config: Any) -> None:
        """Every such model is laid out alike."""

    def resized(self, info: Any, modality: str, size: MediaSize, kwargs: Mapping[str, object]) -> MediaSize:
        side = tile_size(info.config)
        rows, columns = self.grid(info, size, kwargs) if modality == "image" else (1, 1)
        return MediaSize(rows * side, columns * side, size.frames)

    def grid(self, info: Any, size: MediaSize, kwargs: Mapping[str, object]) -> tuple[int, int]:
        """Count the rows and columns of an image's tiles."""
        processor, asked = info.get_hf_processor().image_processor, info.ctx.get_merged_mm_kwargs(kwargs)
        if not asked.get("crop_to_patches", True):  # unless asked, as Transformers' whole processor does
            return 1, 1
        limits = (asked.get(name, getattr(processor, name)) for name in ("min_patches", "max_patches"))
        tile = processor.size["height"], processor.size["width"]
        columns, rows = get_optimal_tiled_canvas((size.height, size.width), tile, *limits)
        return rows, columns

    def processed(self, hf_config: Any, modality: str, outputs: Mapping[str, Any], index: int) -> MediaSize | None:
        if modality == "image":
            return None  # tiles are counted, but not their rows
        return MediaSize(tile_size(hf_config), tile_size(hf_config), int(outputs["video_num_patches"][index]))

    def plan(self, hf_config: Any, size: MediaSize, spec: PruneSpec) -> TokenPlan:
        tile, side = tile_size(hf_config), tokens_per_side(hf_config)
        rows, columns = size.height // tile * side, size.width // tile * side
        groups = Group(rows, columns, spec.count_each(rows * columns, size.frames), size.frames), EMPTY
        if rows * columns > side**2:
            tiles, thumbnail = spec.split(rows * columns, side**2)
            groups = Group(rows, columns, tiles), Group(side, side, thumbnail)
        tokens = sum(group.tokens * group.copies for group in groups)
        return TokenPlan(groups, 0, tokens, tokens // side**2, (side, int(self.transposed(hf_config))))

    def transposed(self, hf_config: Any) -> bool:
        """Whether the tokens of a tile come column by column."""
        return False

    def largest(self, info: Any, modality: str) -> TokenPlan:
        if modality == "image":
            size = info.get_image_size_with_most_features()
            return info.plan(modality, MediaSize(size.height, size.width), PruneSpec())  # type: ignore[no-any-return]
        frames = info.get_num_frames_with_most_features(info.max_length, {modality: 1})
        return info.plan(modality, MediaSize(1, 1, frames), PruneSpec())  # type: ignore[no-any-return]

    def layout(self, plan: TokenPlan, device: torch.device | None = None) -> Layout:
        tiles, thumbnail = plan.groups
        side, transposed = plan.geometry
        first = tile_by_tile(tiles, side, transposed, device)
        groups = [first, len(first) + tile_by_tile(thumbnail, side, transposed, device)]
        return Layout(groups, first[:0], tiles.copies)

    def projector(self, model: Any) -> tuple[nn.Module, str]:
        return model, "multi_modal_projector"

    def placeholder(self, info: Any, modality: str) -> list[int]:
        text = getattr(info.get_hf_processor(), f"{modality}_token")
        return list(cached_encode(info.get_tokenizer(), text, add_special_tokens=False))

    def units(self, item: Mapping[str, Any]) -> int:
        return int(item["image_num_patches" if "image_num_patches" in item else "video_num_patches"].data)

    def pixels(self, modality: str, outputs: Mapping[str, Any], index: int, plan: TokenPlan) -> Tensor:
        tiles = outputs[f"{modality}_num_patches"].tolist()
        part: Tensor = outputs[self.pixel_fields[modality]].split(tiles)[index]
        return part


class GPruneInternVLInfo(PruningInfo, InternS1ProcessingInfo):
    """Changes against `vllm.model_executor.models.interns1.InternS1ProcessingInfo` (vLLM 0.32): those of
    `PruningInfo`."""

    family = InternVL()


class GPruneInternVLProcessor(PruningProcessor, InternS1MultiModalProcessor):
    """Changes against `vllm.model_executor.models.interns1.InternS1MultiModalProcessor` (vLLM 0.32): those of
    `PruningProcessor`."""


@MULTIMODAL_REGISTRY.register_processor(
    GPruneInternVLProcessor, info=GPruneInternVLInfo, dummy_inputs=InternS1DummyInputsBuilder
)
class GPruneInternVLForConditionalGeneration(PruningModel, InternS1ForConditionalGeneration, SupportsMRoPE):
    """Changes against `vllm.model_executor.models.interns1.InternS1ForConditionalGeneration` (vLLM 0.32): those of
    `PruningModel`."""

    family = GPruneInternVLInfo.family
