"""Idefics3 and SmolVLM: tiles of one size with text between them, the whole image last."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from vllm.model_executor.models.idefics3 import (
    Idefics3DummyInputsBuilder,
    Idefics3ForConditionalGeneration,
    Idefics3MultiModalProcessor,
    Idefics3ProcessingInfo,
)
from vllm.model_executor.models.interfaces import SupportsMRoPE
from vllm.model_executor.models.smolvlm import SmolVLMForConditionalGeneration, SmolVLMProcessingInfo
from vllm.multimodal import MULTIMODAL_REGISTRY

from gprune_vllm.adapter.family import Family, Layout
from gprune_vllm.adapter.info import PruningInfo
from gprune_vllm.adapter.model import PruningModel
from gprune_vllm.adapter.processor import PruningProcessor
from gprune_vllm.families.tiles import crop_by_crop, plan_crops, tile_size
from gprune_vllm.plan import MediaSize, PlannedImage, PruneSpec, TokenPlan


class Idefics3(Family):
    """Idefics3 and SmolVLM. Source of the counts: vLLM 0.32.

    An image is cut into tiles, and a thumbnail of it comes last; a small one is the thumbnail alone. Each of these has
    text before it in the prompt, and keeps as many tokens as any other. A token is a square of patches ("pixel
    shuffle"), and is scored on these, as they are before the tower's last norm: behind it all are about as long.
    """

    groups: ClassVar[tuple[str, ...]] = ("tiles", "thumbnail")

    def check(self, hf_config: Any) -> None:
        """Every such model is laid out alike."""

    def resized(self, info: Any, modality: str, size: MediaSize, kwargs: Mapping[str, object]) -> MediaSize:
        processor, side = info.get_hf_processor(), tile_size(info.config)
        crops = info.get_num_patches(
            image_width=size.width, image_height=size.height, processor=processor, mm_kwargs=kwargs
        )
        return MediaSize(side, side, crops)

    def processed(self, hf_config: Any, modality: str, outputs: Mapping[str, Any], index: int) -> MediaSize:
        return MediaSize(tile_size(hf_config), tile_size(hf_config), int(outputs["num_patches"][index]))

    def plan(self, hf_config: Any, size: MediaSize, spec: PruneSpec) -> TokenPlan:
        patches = size.height // hf_config.vision_config.patch_size
        return plan_crops(patches // hf_config.scale_factor, size.frames, spec)

    def largest(self, info: Any, modality: str) -> TokenPlan:
        side = info.get_hf_processor().image_processor.max_image_size["longest_edge"]
        return info.plan(modality, MediaSize(side, side), PruneSpec())  # type: ignore[no-any-return]

    def layout(self, plan: TokenPlan, device: torch.device | None = None) -> Layout:
        return crop_by_crop(plan, device)

    def projector(self, model: Any) -> tuple[nn.Module, str]:
        return model.model.vision_model, "post_layernorm"

    def units(self, item: Mapping[str, Any]) -> int:
        return int(item["num_patches"].data)

    def pixels(self, modality: str, outputs: Mapping[str, Any], index: int, plan: TokenPlan) -> Tensor:
        part: Tensor = outputs["pixel_values"].split(outputs["num_patches"].tolist())[index]
        return part

    def features(self, model: Any, caught: Sequence[Tensor], planned: Sequence[PlannedImage]) -> Sequence[Tensor]:
        connector = model.model.connector
        squares = [connector.pixel_shuffle(each, connector.scale_factor) for each in caught]
        return super().features(model, squares, planned)


class Idefics3PruningModel(PruningModel):
    """Changes against a model of vLLM 0.32's `idefics3`: those of `PruningModel`. The language model has another name
    there."""

    model: Any

    @property
    def language_model(self) -> Any:
        return self.model.text_model


class GPruneIdefics3Processor(PruningProcessor, Idefics3MultiModalProcessor):
    """Changes against `vllm.model_executor.models.idefics3.Idefics3MultiModalProcessor` (vLLM 0.32): those of
    `PruningProcessor`."""


class GPruneIdefics3Info(PruningInfo, Idefics3ProcessingInfo):
    """Changes against `vllm.model_executor.models.idefics3.Idefics3ProcessingInfo` (vLLM 0.32): those of
    `PruningInfo`."""

    family = Idefics3()


@MULTIMODAL_REGISTRY.register_processor(
    GPruneIdefics3Processor, info=GPruneIdefics3Info, dummy_inputs=Idefics3DummyInputsBuilder
)
class GPruneIdefics3ForConditionalGeneration(Idefics3PruningModel, Idefics3ForConditionalGeneration, SupportsMRoPE):
    """Changes against `vllm.model_executor.models.idefics3.Idefics3ForConditionalGeneration` (vLLM 0.32): those of
    `Idefics3PruningModel`."""

    family = GPruneIdefics3Info.family


class GPruneSmolVLMInfo(PruningInfo, SmolVLMProcessingInfo):
    """Changes against `vllm.model_executor.models.smolvlm.SmolVLMProcessingInfo` (vLLM 0.32): those of
    `PruningInfo`."""

    family = GPruneIdefics3Info.family


@MULTIMODAL_REGISTRY.register_processor(
    GPruneIdefics3Processor, info=GPruneSmolVLMInfo, dummy_inputs=Idefics3DummyInputsBuilder
)
class GPruneSmolVLMForConditionalGeneration(Idefics3PruningModel, SmolVLMForConditionalGeneration, SupportsMRoPE):
    """Changes against `vllm.model_executor.models.smolvlm.SmolVLMForConditionalGeneration` (vLLM 0.32): those of
    `Idefics3PruningModel`."""

    family = GPruneIdefics3Info.family
