"""Mistral 3: a grid of merged patches under plain RoPE, each of whose rows ends in a break."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from vllm.config import VllmConfig
from vllm.model_executor.models.interfaces import SupportsMRoPE
from vllm.model_executor.models.mistral3 import (
    Mistral3DummyInputsBuilder,
    Mistral3ForConditionalGeneration,
    Mistral3MultiModalProcessor,
    Mistral3ProcessingInfo,
)
from vllm.multimodal import MULTIMODAL_REGISTRY

from gprune_vllm.adapter.family import Family, Layout
from gprune_vllm.adapter.info import PruningInfo
from gprune_vllm.adapter.model import PruningModel
from gprune_vllm.adapter.processor import PruningProcessor
from gprune_vllm.plan import Group, MediaSize, PlannedImage, PruneSpec, TokenPlan


class Mistral3(Family):
    """Mistral 3 in the format of Transformers. Source of the counts: vLLM 0.32.

    A token is a square of patches, and is scored on these, one after the other, as they are before the projector's
    norm: behind it all are about as long. A row of tokens is followed by [IMG_BREAK], the last one by [IMG_END]. Where
    a break comes among the tokens that stay is known only once the tower has run. Breaks are therefore structural
    tokens of the image, and no text of the prompt.
    """

    groups: ClassVar[tuple[str, ...]] = ("image",)

    def check(self, hf_config: Any) -> None:
        """Every such model is laid out alike."""

    def resized(self, info: Any, modality: str, size: MediaSize, kwargs: Mapping[str, object]) -> MediaSize:
        encoder = info.get_vision_encoder_info(kwargs)
        columns, rows = encoder.get_patch_grid_size(image_width=size.width, image_height=size.height)
        if not rows * columns:
            raise ValueError("less than a pixel of its shorter side is left when the longer one fits")
        return MediaSize(rows * encoder.get_patch_size(), columns * encoder.get_patch_size())

    def processed(self, hf_config: Any, modality: str, outputs: Mapping[str, Any], index: int) -> MediaSize:
        return MediaSize(*outputs["pixel_values"][index].shape[-2:])

    def plan(self, hf_config: Any, size: MediaSize, spec: PruneSpec) -> TokenPlan:
        side = hf_config.vision_config.patch_size * hf_config.spatial_merge_size
        rows, columns = size.height // side, size.width // side
        (kept,) = spec.split(rows * columns)
        units = size.height * size.width
        return TokenPlan((Group(rows, columns, kept),), structural=rows, span=rows * (columns + 1), units=units)

    def largest(self, info: Any, modality: str) -> TokenPlan:
        size = info.get_image_size_with_most_features()
        return info.plan(modality, MediaSize(size.height, size.width), PruneSpec())  # type: ignore[no-any-return]

    def layout(self, plan: TokenPlan, device: torch.device | None = None) -> Layout:
        (group,) = plan.groups
        rows = torch.arange(plan.input, device=device).view(group.rows, group.columns + 1)
        return Layout([rows[:, :-1].flatten()], rows[:, -1])

    def projector(self, model: Any) -> tuple[nn.Module, str]:
        return model, "multi_modal_projector"

    def units(self, item: Mapping[str, Any]) -> int:
        height, width = item["pixel_values"].data.shape[-2:]
        return int(height * width)

    def features(self, model: Any, caught: Sequence[Tensor], planned: Sequence[PlannedImage]) -> Sequence[Tensor]:
        side = model.config.spatial_merge_size
        groups = [group for image in planned for group in image.plan.groups]
        patches = torch.cat(list(caught)).split([group.tokens * side**2 for group in groups])
        return [_squares(*of_image, side) for of_image in zip(patches, groups, strict=True)]


def _squares(patches: Tensor, group: Group, side: int) -> Tensor:
    """Put the patches of each token behind one another.

    Args:
        patches: `[tokens * side * side, size]`, row by row.
        side: patches along a side of a token.

    Returns:
        `[rows * (columns + 1), side * side * size]`, zeros for breaks.
    """
    grid = patches.view(group.rows, side, group.columns, side, -1)
    tokens = grid.transpose(1, 2).flatten(2)  # [rows, columns, side * side * size]
    return nn.functional.pad(tokens, (0, 0, 0, 1)).flatten(0, 1)


class GPruneMistral3Info(PruningInfo, Mistral3ProcessingInfo):
    """Changes against `vllm.model_executor.models.mistral3.Mistral3ProcessingInfo` (vLLM 0.32): those of
    `PruningInfo`."""

    family = Mistral3()


class GPruneMistral3Processor(PruningProcessor, Mistral3MultiModalProcessor):
    """Changes against `vllm.model_executor.models.mistral3.Mistral3MultiModalProcessor` (vLLM 0.32): those of
    `PruningProcessor`, and

    - the embeddings of an image include those of its breaks, which upstream takes for text.
    """

    def _get_prompt_updates(self, *args: Any, **kwargs: Any) -> Any:
        (whole,) = super()._get_prompt_updates(*args, **kwargs)
        return [replace(whole, replacement=lambda item: replace(whole.replacement(item), is_embed=None))]


class Mistral3WithBreaks(Mistral3ForConditionalGeneration):
    """Changes against `vllm.model_executor.models.mistral3.Mistral3ForConditionalGeneration` (vLLM 0.32):

    - `embed_multimodal` puts the text embedding of a break behind each row of an image.
    """

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        processor = MULTIMODAL_REGISTRY.create_processor(vllm_config.model_config).info.get_hf_processor()
        breaks = torch.tensor([processor.image_break_token_id, processor.image_end_token_id])
        self.register_buffer("breaks", breaks, persistent=False)

    def embed_multimodal(self, **kwargs: Any) -> list[Tensor]:
        """Embed images, `[rows * (columns + 1), hidden_size]` each."""
        side = self.config.vision_config.patch_size * self.config.spatial_merge_size
        row, last = self._embed_breaks()
        embeddings = []
        for tokens, pixels in zip(super().embed_multimodal(**kwargs), kwargs["pixel_values"], strict=True):
            rows = tokens.unflatten(0, (-1, pixels.shape[-1] // side))
            breaks = torch.stack((*row.expand(len(rows) - 1, -1), last)).unsqueeze(1)
            embeddings.append(torch.cat((rows, breaks), dim=1).flatten(0, 1))
        return embeddings

    def _embed_breaks(self) -> Tensor:
        """Embed the break of a row and that of the last row, `[2, hidden_size]`.

        Images are embedded for all adapters alike, so that an adapter of the embeddings does not count.
        """
        embedding = self.language_model.model.embed_tokens
        embedded: Tensor = getattr(embedding, "base_layer", embedding)(self.breaks)
        return embedded


@MULTIMODAL_REGISTRY.register_processor(
    GPruneMistral3Processor, info=GPruneMistral3Info, dummy_inputs=Mistral3DummyInputsBuilder
)
class GPruneMistral3ForConditionalGeneration(PruningModel, Mistral3WithBreaks, SupportsMRoPE):
    """Changes against `Mistral3WithBreaks`: those of `PruningModel`."""

    family = GPruneMistral3Info.family
