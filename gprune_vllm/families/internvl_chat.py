"""InternVL, from 2 to 3.5, in its own format."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn
from vllm.model_executor.models.interfaces import SupportsMRoPE
from vllm.model_executor.models.internvl import (
    InternVLChatModel,
    InternVLDummyInputsBuilder,
    InternVLMultiModalProcessor,
    InternVLProcessingInfo,
)
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.processing import cached_encode
from vllm.transformers_utils.processors.internvl import calculate_internvl_targets

from gprune_vllm.adapter.info import PruningInfo
from gprune_vllm.adapter.model import PruningModel
from gprune_vllm.adapter.processor import PruningProcessor
from gprune_vllm.families.internvl import InternVL
from gprune_vllm.families.tiles import tile_size
from gprune_vllm.plan import MediaSize


class InternVLChat(InternVL):
    """InternVL in its own format. Source of the counts: vLLM 0.32, whose processor it has."""

    pixel_fields: ClassVar[Mapping[str, str]] = {"image": "pixel_values_flat", "video": "pixel_values_flat_video"}

    def grid(self, info: Any, size: MediaSize, kwargs: Mapping[str, object]) -> tuple[int, int]:
        processor, side = info.get_hf_processor(**kwargs), tile_size(info.config)
        _, width, height = calculate_internvl_targets(
            orig_width=size.width,
            orig_height=size.height,
            target_ratios=processor.resolve_target_ratios(use_thumbnail=False),
            image_size=side,
            use_thumbnail=False,
        )
        return height // side, width // side

    def transposed(self, hf_config: Any) -> bool:
        return bool(hf_config.ps_version == "v1")

    def projector(self, model: Any) -> tuple[nn.Module, str]:
        return model, "mlp1"

    def placeholder(self, info: Any, modality: str) -> list[int]:
        return list(cached_encode(info.get_tokenizer(), f"<{modality}>", add_special_tokens=False))


class GPruneInternVLChatInfo(PruningInfo, InternVLProcessingInfo):
    """Changes against `vllm.model_executor.models.internvl.InternVLProcessingInfo` (vLLM 0.32): those of
    `PruningInfo`."""

    family = InternVLChat()


class GPruneInternVLChatProcessor(PruningProcessor, InternVLMultiModalProcessor):
    """Changes against `vllm.model_executor.models.internvl.InternVLMultiModalProcessor` (vLLM 0.32): those of
    `PruningProcessor`."""


@MULTIMODAL_REGISTRY.register_processor(
    GPruneInternVLChatProcessor, info=GPruneInternVLChatInfo, dummy_inputs=InternVLDummyInputsBuilder
)
class GPruneInternVLChatModel(PruningModel, InternVLChatModel, SupportsMRoPE):
    """Changes against `vllm.model_executor.models.internvl.InternVLChatModel` (vLLM 0.32): those of `PruningModel`."""

    family = GPruneInternVLChatInfo.family
