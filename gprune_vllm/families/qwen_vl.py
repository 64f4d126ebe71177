"""Qwen-VL, from Qwen2-VL to Qwen3.5: a grid of merged patches, for each pair of a video's frames, under M-RoPE."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from vllm.model_executor.models.qwen2_5_vl import (
    Qwen2_5_VLDummyInputsBuilder,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLMultiModalProcessor,
    Qwen2_5_VLProcessingInfo,
)
from vllm.model_executor.models.qwen2_vl import (
    Qwen2VLDummyInputsBuilder,
    Qwen2VLForConditionalGeneration,
    Qwen2VLMultiModalProcessor,
    Qwen2VLProcessingInfo,
)
from vllm.model_executor.models.qwen3_5 import (
    Qwen3_5ForConditionalGeneration,
    Qwen3_5MoeForConditionalGeneration,
    Qwen3_5MoeProcessingInfo,
    Qwen3_5ProcessingInfo,
)
from vllm.model_executor.models.qwen3_vl import (
    Qwen3VLDummyInputsBuilder,
    Qwen3VLForConditionalGeneration,
    Qwen3VLMultiModalProcessor,
    Qwen3VLProcessingInfo,
)
from vllm.model_executor.models.qwen3_vl_moe import Qwen3VLMoeForConditionalGeneration, Qwen3VLMoeProcessingInfo
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.utils.torch_utils import async_tensor_h2d

from gprune_vllm.adapter.family import Family, Layout
from gprune_vllm.adapter.info import PruningInfo
from gprune_vllm.adapter.mrope import MRopePruningModel
from gprune_vllm.adapter.processor import PruningProcessor
from gprune_vllm.plan import Group, MediaSize, PlannedImage, PruneSpec, TokenPlan


class Qwen2VL(Family):
    """Qwen2-VL and Qwen2.5-VL, whose videos are one run of placeholders. Source of the counts: vLLM 0.32.

    A visual token is a square of patches that the merger joins. It is scored on these patches, one after the other, as
    the merger reads them. Each pair of a video's frames keeps as many tokens as any other.
    """

    groups: ClassVar[tuple[str, ...]] = ("image",)
    modalities: ClassVar[tuple[str, ...]] = ("image", "video")
    # At 0.5 the graph joins a token to 81 % of its image, and reading suffers: evaluation/qwen/RESULTS.md, table 3.
    threshold: ClassVar[float] = 0.7
    scored_in_tower: ClassVar[bool] = True

    def check(self, hf_config: Any) -> None:
        """Every such model is laid out alike."""

    def resized(self, info: Any, modality: str, size: MediaSize, kwargs: Mapping[str, object]) -> MediaSize:
        processor = info.get_hf_processor()
        resized, _ = info._get_vision_info(
            image_width=size.width,
            image_height=size.height,
            num_frames=size.frames,
            image_processor=processor.image_processor if modality == "image" else processor.video_processor,
            mm_kwargs=kwargs,
            modality=modality,
        )
        together = info.config.vision_config.temporal_patch_size
        return MediaSize(resized.height, resized.width, -(-size.frames // together), size.seconds * together)

    def processed(self, hf_config: Any, modality: str, outputs: Mapping[str, Any], index: int) -> MediaSize:
        frames, rows, columns = outputs[f"{modality}_grid_thw"][index].tolist()
        seconds = outputs["second_per_grid_ts"][index] if "second_per_grid_ts" in outputs else 0.0
        patch = hf_config.vision_config.patch_size
        return MediaSize(rows * patch, columns * patch, frames, float(seconds))

    def plan(self, hf_config: Any, size: MediaSize, spec: PruneSpec) -> TokenPlan:
        side = hf_config.vision_config.patch_size * merge_size(hf_config)
        rows, columns = size.height // side, size.width // side
        tokens = rows * columns
        units = size.frames * tokens * merge_size(hf_config) ** 2
        group = Group(rows, columns, spec.count_each(tokens, size.frames), size.frames)
        return TokenPlan((group,), structural=0, span=self.span(hf_config, group, size.seconds), units=units)

    def span(self, hf_config: Any, group: Group, seconds: float) -> int:
        """Count the positions that the tokens of a plan take, where a frame pair is shown for some seconds."""
        rate = getattr(hf_config.vision_config, "tokens_per_second", None)
        step = 1.0 if rate is None else (seconds or 1.0) * rate
        return max(int((group.copies - 1) * step) + 1, group.rows, group.columns)

    def largest(self, info: Any, modality: str) -> TokenPlan:
        length = info.ctx.model_config.max_model_len
        tokens = info.get_mm_max_tokens_per_item(length, {modality: 1})[modality]
        units = tokens * merge_size(info.config) ** 2
        return TokenPlan((Group(1, tokens, tokens),), structural=0, span=tokens, units=units)

    def layout(self, plan: TokenPlan, device: torch.device | None = None) -> Layout:
        positions = torch.arange(plan.patches, device=device)
        return Layout([positions], positions[:0])

    def projector(self, model: Any) -> tuple[nn.Module, str]:
        return model.visual, "merger"

    def units(self, item: Mapping[str, Any]) -> int:
        grid = item["image_grid_thw"] if "image_grid_thw" in item else item["video_grid_thw"]
        return int(grid.data.prod())

    def pixels(self, modality: str, outputs: Mapping[str, Any], index: int, plan: TokenPlan) -> Tensor:
        patches = outputs[f"{modality}_grid_thw"].prod(-1).tolist()
        pixels = outputs["pixel_values" if modality == "image" else "pixel_values_videos"]
        part: Tensor = pixels.split(patches)[index]
        return part

    def features(self, model: Any, caught: Sequence[Tensor], planned: Sequence[PlannedImage]) -> Sequence[Tensor]:
        patches = merge_size(model.config) ** 2
        return super().features(model, [each.reshape(-1, patches * each.shape[-1]) for each in caught], planned)


class Qwen2_5VL(Qwen2VL):
    """Qwen2.5-VL, whose tower orders tokens by windows."""

    def features(self, model: Any, caught: Sequence[Tensor], planned: Sequence[PlannedImage]) -> Sequence[Tensor]:
        tower, side = model.visual, merge_size(model.config)
        ordered = []
        for tokens, image in zip(super().features(model, caught, planned), planned, strict=True):
            (group,) = image.plan.groups
            _, _, windows, _, _ = tower.get_rope_by_thw(group.copies, group.rows * side, group.columns * side)
            ordered.append(tokens[async_tensor_h2d(tower.invert_permutation(windows), tokens.device)])
        return ordered


class Qwen3VL(Qwen2VL):
    """Qwen3-VL and Qwen3.5, which put a timestamp before each pair of a video's frames."""

    def span(self, hf_config: Any, group: Group, seconds: float) -> int:
        return group.copies * max(group.rows, group.columns)


def merge_size(hf_config: Any) -> int:
    """Patches along a side of what the merger joins to a token."""
    return int(hf_config.vision_config.spatial_merge_size)


class Qwen3PruningModel(MRopePruningModel):
    """Changes against a Qwen3-VL model of vLLM 0.32: those of `MRopePruningModel`. An embedding carries the levels that
    deeper layers read ("deepstack")."""

    visual_dim: int
    multiscale_dim: int

    @property
    def embedding_size(self) -> int:
        return self.visual_dim + self.multiscale_dim


class GPruneQwen2VLInfo(PruningInfo, Qwen2VLProcessingInfo):
    """Changes against `vllm.model_executor.models.qwen2_vl.Qwen2VLProcessingInfo` (vLLM 0.32): those of
    `PruningInfo`."""

    family = Qwen2VL()


class GPruneQwen2VLProcessor(PruningProcessor, Qwen2VLMultiModalProcessor):
    """Changes against `vllm.model_executor.models.qwen2_vl.Qwen2VLMultiModalProcessor` (vLLM 0.32): those of
    `PruningProcessor`."""


@MULTIMODAL_REGISTRY.register_processor(
    GPruneQwen2VLProcessor, info=GPruneQwen2VLInfo, dummy_inputs=Qwen2VLDummyInputsBuilder
)
class GPruneQwen2VLForConditionalGeneration(MRopePruningModel, Qwen2VLForConditionalGeneration):
    """Changes against `vllm.model_executor.models.qwen2_vl.Qwen2VLForConditionalGeneration` (vLLM 0.32): those of
    `MRopePruningModel`."""

    family = GPruneQwen2VLInfo.family


class GPruneQwen2_5VLInfo(PruningInfo, Qwen2_5_VLProcessingInfo):
    """Changes against `vllm.model_executor.models.qwen2_5_vl.Qwen2_5_VLProcessingInfo` (vLLM 0.32): those of
    `PruningInfo`."""

    family = Qwen2_5VL()


class GPruneQwen2_5VLProcessor(PruningProcessor, Qwen2_5_VLMultiModalProcessor):
    """Changes against `vllm.model_executor.models.qwen2_5_vl.Qwen2_5_VLMultiModalProcessor` (vLLM 0.32): those of
    `PruningProcessor`."""


@MULTIMODAL_REGISTRY.register_processor(
    GPruneQwen2_5VLProcessor, info=GPruneQwen2_5VLInfo, dummy_inputs=Qwen2_5_VLDummyInputsBuilder
)
class GPruneQwen2_5_VLForConditionalGeneration(MRopePruningModel, Qwen2_5_VLForConditionalGeneration):
    """Changes against `vllm.model_executor.models.qwen2_5_vl.Qwen2_5_VLForConditionalGeneration` (vLLM 0.32): those of
    `MRopePruningModel`."""

    family = GPruneQwen2_5VLInfo.family


class GPruneQwen3VLProcessor(PruningProcessor, Qwen3VLMultiModalProcessor):
    """Changes against `vllm.model_executor.models.qwen3_vl.Qwen3VLMultiModalProcessor` (vLLM 0.32): those of
    `PruningProcessor`."""


def register_qwen3(info: type[Any]) -> Any:
    """Register the processor of a model of Qwen3-VL or Qwen3.5, with its processing information."""
    return MULTIMODAL_REGISTRY.register_processor(
        GPruneQwen3VLProcessor, info=info, dummy_inputs=Qwen3VLDummyInputsBuilder
    )


class GPruneQwen3VLInfo(PruningInfo, Qwen3VLProcessingInfo):
    """Changes against `vllm.model_executor.models.qwen3_vl.Qwen3VLProcessingInfo` (vLLM 0.32): those of
    `PruningInfo`."""

    family = Qwen3VL()


@register_qwen3(GPruneQwen3VLInfo)
class GPruneQwen3VLForConditionalGeneration(Qwen3PruningModel, Qwen3VLForConditionalGeneration):
    """Changes against `vllm.model_executor.models.qwen3_vl.Qwen3VLForConditionalGeneration` (vLLM 0.32): those of
    `Qwen3PruningModel`."""

    family = GPruneQwen3VLInfo.family


class GPruneQwen3VLMoeInfo(PruningInfo, Qwen3VLMoeProcessingInfo):
    """Changes against `vllm.model_executor.models.qwen3_vl_moe.Qwen3VLMoeProcessingInfo` (vLLM 0.32): those of
    `PruningInfo`."""

    family = GPruneQwen3VLInfo.family


@register_qwen3(GPruneQwen3VLMoeInfo)
class GPruneQwen3VLMoeForConditionalGeneration(Qwen3PruningModel, Qwen3VLMoeForConditionalGeneration):
    """Changes against `vllm.model_executor.models.qwen3_vl_moe.Qwen3VLMoeForConditionalGeneration` (vLLM 0.32): those
    of `Qwen3PruningModel`."""

    family = GPruneQwen3VLInfo.family


class GPruneQwen3_5Info(PruningInfo, Qwen3_5ProcessingInfo):
    """Changes against `vllm.model_executor.models.qwen3_5.Qwen3_5ProcessingInfo` (vLLM 0.32): those of
    `PruningInfo`."""

    family = GPruneQwen3VLInfo.family


@register_qwen3(GPruneQwen3_5Info)
class GPruneQwen3_5ForConditionalGeneration(Qwen3PruningModel, Qwen3_5ForConditionalGeneration):
    """Changes against `vllm.model_executor.models.qwen3_5.Qwen3_5ForConditionalGeneration` (vLLM 0.32): those of
    `Qwen3PruningModel`."""

    family = GPruneQwen3VLInfo.family


class GPruneQwen3_5MoeInfo(PruningInfo, Qwen3_5MoeProcessingInfo):
    """Changes against `vllm.model_executor.models.qwen3_5.Qwen3_5MoeProcessingInfo` (vLLM 0.32): those of
    `PruningInfo`."""

    family = GPruneQwen3VLInfo.family


@register_qwen3(GPruneQwen3_5MoeInfo)
class GPruneQwen3_5MoeForConditionalGeneration(Qwen3PruningModel, Qwen3_5MoeForConditionalGeneration):
    """Changes against `vllm.model_executor.models.qwen3_5.Qwen3_5MoeForConditionalGeneration` (vLLM 0.32): those of
    `Qwen3PruningModel`."""

    family = GPruneQwen3VLInfo.family
