"""GLM-4.1V, 4.5V and 4.6V: a grid of merged patches under M-RoPE, as of Qwen-VL. Images are pruned, videos are not."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor
from transformers.models.glm4v.image_processing_glm4v import smart_resize
from vllm.model_executor.models.glm4_1v import (
    Glm4vDummyInputsBuilder,
    Glm4vForConditionalGeneration,
    Glm4vMoeForConditionalGeneration,
    Glm4vMultiModalProcessor,
    Glm4vProcessingInfo,
)
from vllm.multimodal import MULTIMODAL_REGISTRY

from gprune_vllm.adapter.family import Family
from gprune_vllm.adapter.info import PruningInfo
from gprune_vllm.adapter.mrope import MRopePruningModel
from gprune_vllm.adapter.processor import PruningProcessor
from gprune_vllm.families.qwen_vl import Qwen2VL
from gprune_vllm.plan import MediaSize, PlannedImage, PruneSpec, TokenPlan


class Glm4V(Qwen2VL):
    """GLM-4V. Source of the counts: Transformers 5.

    A visual token is a square of patches, which a convolution joins. It is scored on the result, which the merger
    reads: the patches themselves are normalised, so that their lengths tell little.
    """

    modalities: ClassVar[tuple[str, ...]] = ("image",)
    # Its graph was not measured.
    threshold: ClassVar[float] = Family.threshold

    def resized(self, info: Any, modality: str, size: MediaSize, kwargs: Mapping[str, object]) -> MediaSize:
        processor = info.get_image_processor(**kwargs)
        height, width = smart_resize(
            processor.temporal_patch_size,
            size.height,
            size.width,
            temporal_factor=processor.temporal_patch_size,
            factor=processor.patch_size * processor.merge_size,
            min_pixels=processor.size["shortest_edge"],
            max_pixels=processor.size["longest_edge"],
        )
        return MediaSize(height, width)

    def largest(self, info: Any, modality: str) -> TokenPlan:
        size = info.get_image_size_with_most_features()
        return self.plan(info.config, MediaSize(size.height, size.width), PruneSpec())

    def features(self, model: Any, caught: Sequence[Tensor], planned: Sequence[PlannedImage]) -> Sequence[Tensor]:
        return Family.features(self, model, caught, planned)


class GPruneGlm4vInfo(PruningInfo, Glm4vProcessingInfo):
    """Changes against `vllm.model_executor.models.glm4_1v.Glm4vProcessingInfo` (vLLM 0.32): those of `PruningInfo`."""

    family = Glm4V()


class GPruneGlm4vProcessor(PruningProcessor, Glm4vMultiModalProcessor):
    """Changes against `vllm.model_executor.models.glm4_1v.Glm4vMultiModalProcessor` (vLLM 0.32): those of
    `PruningProcessor`."""


register = MULTIMODAL_REGISTRY.register_processor(
    GPruneGlm4vProcessor, info=GPruneGlm4vInfo, dummy_inputs=Glm4vDummyInputsBuilder
)


@register
class GPruneGlm4vForConditionalGeneration(MRopePruningModel, Glm4vForConditionalGeneration):
    """Changes against `vllm.model_executor.models.glm4_1v.Glm4vForConditionalGeneration` (vLLM 0.32): those of
    `MRopePruningModel`."""

    family = GPruneGlm4vInfo.family


@register
class GPruneGlm4vMoeForConditionalGeneration(MRopePruningModel, Glm4vMoeForConditionalGeneration):
    """Changes against `vllm.model_executor.models.glm4_1v.Glm4vMoeForConditionalGeneration` (vLLM 0.32): those of
    `MRopePruningModel`."""

    family = GPruneGlm4vInfo.family
