"""Llama 4: tiles of one size with text between them, and a thumbnail behind."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers.image_utils import SizeDict
from transformers.models.llama4.image_processing_llama4 import find_supported_resolutions, get_best_fit
from vllm.model_executor.models.interfaces import SupportsMRoPE
from vllm.model_executor.models.mllama4 import (
    Llama4ForConditionalGeneration,
    Mllama4DummyInputsBuilder,
    Mllama4MultiModalProcessor,
    Mllama4ProcessingInfo,
    pixel_shuffle,
)
from vllm.multimodal import MULTIMODAL_REGISTRY

from gprune_vllm.adapter.family import Family, Layout
from gprune_vllm.adapter.info import PruningInfo
from gprune_vllm.adapter.model import PruningModel
from gprune_vllm.adapter.processor import PruningProcessor
from gprune_vllm.families.tiles import crop_by_crop, plan_crops, tile_size
from gprune_vllm.plan import MediaSize, PlannedImage, PruneSpec, TokenPlan


class Llama4(Family):
    """Llama 4. Source of the counts: Transformers 5.

    An image is cut into tiles, and a thumbnail of it comes last; a small one is the thumbnail alone. Each of these has
    text behind it in the prompt, and keeps as many tokens as any other. A token is a square of patches ("pixel
    shuffle"), and is scored on these, as they are before the tower's last norm: behind it all are about as long.
    """

    groups: ClassVar[tuple[str, ...]] = ("tiles", "thumbnail")
    scored_in_tower: ClassVar[bool] = True

    def check(self, hf_config: Any) -> None:
        """Every such model is laid out alike."""

    def resized(self, info: Any, modality: str, size: MediaSize, kwargs: Mapping[str, object]) -> MediaSize:
        side, processor = tile_size(info.config), info.get_hf_processor().image_processor
        shapes = find_supported_resolutions(info.get_max_num_tiles(), SizeDict(height=side, width=side))
        height, width = get_best_fit(
            (size.height, size.width), torch.tensor(shapes), resize_to_max_canvas=processor.resize_to_max_canvas
        )
        tiles = int(height * width) // side**2
        return MediaSize(side, side, tiles + (tiles > 1))

    def processed(self, hf_config: Any, modality: str, outputs: Mapping[str, Any], index: int) -> MediaSize:
        return MediaSize(tile_size(hf_config), tile_size(hf_config), int(outputs["patches_per_image"][index]))

    def plan(self, hf_config: Any, size: MediaSize, spec: PruneSpec) -> TokenPlan:
        tower = hf_config.vision_config
        return plan_crops(int(size.height // tower.patch_size * tower.pixel_shuffle_ratio), size.frames, spec)

    def largest(self, info: Any, modality: str) -> TokenPlan:
        size = info.get_image_size_with_most_features()
        return info.plan(modality, MediaSize(size.height, size.width), PruneSpec())  # type: ignore[no-any-return]

    def layout(self, plan: TokenPlan, device: torch.device | None = None) -> Layout:
        return crop_by_crop(plan, device)

    def projector(self, model: Any) -> tuple[nn.Module, str]:
        return model.vision_model, "layernorm_post"

    def placeholder(self, info: Any, modality: str) -> list[int]:
        return [int(info.get_hf_processor().image_token_id)]

    def units(self, item: Mapping[str, Any]) -> int:
        return int(item["patches_per_image"].data)

    def pixels(self, modality: str, outputs: Mapping[str, Any], index: int, plan: TokenPlan) -> Tensor:
        part: Tensor = outputs["pixel_values"].split(outputs["patches_per_image"].tolist())[index]
        return part

    def features(self, model: Any, caught: Sequence[Tensor], planned: Sequence[PlannedImage]) -> Sequence[Tensor]:
        ratio = model.config.vision_config.pixel_shuffle_ratio
        patches = [each[:, :-1] for each in caught]  # behind them comes a class token
        return super().features(model, [pixel_shuffle(each, ratio) for each in patches], planned)


class GPruneLlama4Info(PruningInfo, Mllama4ProcessingInfo):
    """Changes against `vllm.model_executor.models.mllama4.Mllama4ProcessingInfo` (vLLM 0.32): those of
    `PruningInfo`."""

    family = Llama4()


class GPruneLlama4Processor(PruningProcessor, Mllama4MultiModalProcessor):
    """Changes against `vllm.model_executor.models.mllama4.Mllama4MultiModalProcessor` (vLLM 0.32): those of
    `PruningProcessor`."""


@MULTIMODAL_REGISTRY.register_processor(
    GPruneLlama4Processor, info=GPruneLlama4Info, dummy_inputs=Mllama4DummyInputsBuilder
)
class GPruneLlama4ForConditionalGeneration(PruningModel, Llama4ForConditionalGeneration, SupportsMRoPE):
    """Changes against `vllm.model_executor.models.mllama4.Llama4ForConditionalGeneration` (vLLM 0.32): those of
    `PruningModel`."""

    family = GPruneLlama4Info.family
