"""LLaVA-NeXT: a base crop, and a grid of crops whose rows end in newlines. Pruned before its projector."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from vllm.config import VllmConfig
from vllm.model_executor.models.interfaces import SupportsMRoPE
from vllm.model_executor.models.llava import LlavaDummyInputsBuilder
from vllm.model_executor.models.llava_next import (
    LlavaNextForConditionalGeneration,
    LlavaNextMultiModalProcessor,
    LlavaNextProcessingInfo,
)
from vllm.multimodal import MULTIMODAL_REGISTRY

from gprune_vllm.adapter.encoder_budget import tower_limit
from gprune_vllm.adapter.family import Layout
from gprune_vllm.adapter.info import PruningInfo
from gprune_vllm.adapter.inputs import planned_in
from gprune_vllm.adapter.model import PruningModel, Seen
from gprune_vllm.adapter.processor import PruningProcessor
from gprune_vllm.adapter.pruning import KeptTokens
from gprune_vllm.families.anyres import largest_plan, plan_tokens
from gprune_vllm.families.llava import Llava
from gprune_vllm.plan import MediaSize, PlannedImage, PruneSpec, TokenPlan


class LlavaNext(Llava):
    """LLaVA-NeXT and what shares its "anyres" geometry.

    An image is its base crop (the whole image, resized) followed by a grid: the crops laid side by side, with the
    padding that kept the aspect ratio cut off, and a newline token after each row. Base crop and grid are two groups.
    """

    groups = ("base", "grid")

    def plan(self, hf_config: Any, size: MediaSize, spec: PruneSpec) -> TokenPlan:
        return plan_tokens((size.height, size.width), *geometry_of(hf_config), spec)

    def largest(self, info: Any, modality: str) -> TokenPlan:
        return largest_plan(*geometry_of(info.config))

    def layout(self, plan: TokenPlan, device: torch.device | None = None) -> Layout:
        base, grid = plan.groups
        patch = torch.arange(grid.tokens, device=device)
        row = torch.arange(1, grid.rows + 1, device=device)
        grid_positions = base.tokens + patch + patch // max(grid.columns, 1)  # a newline ends every row before
        newlines = base.tokens + row * (grid.columns + 1) - 1
        return Layout((torch.arange(base.tokens, device=device), grid_positions), newlines)

    def split(self, values: Tensor, plan: TokenPlan) -> list[Tensor]:
        """Split values of the patches of all crops, `[crops, patches, ...]`, the base crop first."""
        tokens = values.flatten(0, 1)  # [crops * patches, ...]
        return [tokens[: plan.groups[0].tokens], tokens[grid_index(plan, values.device)]]

    def units(self, item: Mapping[str, Any]) -> int:
        return len(item["pixel_values"].data)

    def pixels(self, modality: str, outputs: Mapping[str, Any], index: int, plan: TokenPlan) -> Tensor:
        pixels: Tensor = outputs["pixel_values"][index][: plan.units]  # padded to as many crops as another image has
        return pixels


def grid_index(plan: TokenPlan, device: torch.device | None = None) -> Tensor:
    """Index of each patch of the unpadded grid among the patches of all crops, `[rows * columns]` int64, row by row."""
    (base, grid), (crop_rows, crop_columns) = plan.groups, plan.geometry
    side = base.rows
    # Padding is cut off evenly, so the inner grid is centred.
    top, left = (crop_rows * side - grid.rows) // 2, (crop_columns * side - grid.columns) // 2
    row = torch.arange(top, top + grid.rows, device=device).unsqueeze(1)  # [rows, 1]
    column = torch.arange(left, left + grid.columns, device=device)  # [columns]
    crop = 1 + row // side * crop_columns + column // side  # [rows, columns]
    return (crop * side**2 + row % side * side + column % side).flatten()  # [rows * columns]


def geometry_of(hf_config: Any) -> tuple[Any, int, int]:
    """Resolutions that an image may be cut into, the side of a crop and that of a patch, in pixels."""
    return hf_config.image_grid_pinpoints, hf_config.vision_config.image_size, hf_config.vision_config.patch_size


class GPruneLlavaNextInfo(PruningInfo, LlavaNextProcessingInfo):
    """Changes against `vllm.model_executor.models.llava_next.LlavaNextProcessingInfo` (vLLM 0.32): those of
    `PruningInfo`."""

    family = LlavaNext()


class GPruneLlavaNextProcessor(PruningProcessor, LlavaNextMultiModalProcessor[GPruneLlavaNextInfo]):
    """Changes against `vllm.model_executor.models.llava_next.LlavaNextMultiModalProcessor` (vLLM 0.32): those of
    `PruningProcessor`."""


@MULTIMODAL_REGISTRY.register_processor(
    GPruneLlavaNextProcessor, info=GPruneLlavaNextInfo, dummy_inputs=LlavaDummyInputsBuilder
)
class GPruneLlavaNextForConditionalGeneration(PruningModel, LlavaNextForConditionalGeneration, SupportsMRoPE):
    """Changes against `vllm.model_executor.models.llava_next.LlavaNextForConditionalGeneration` (vLLM 0.32): those of
    `PruningModel`, and

    - the projector runs on kept tokens only, unless the stage is "projector";
    - the tower runs in micro-batches of no more crops than vLLM profiled, and never on padding.
    """

    family = GPruneLlavaNextInfo.family

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        self.crop_limit = tower_limit(vllm_config)

    def embed_pruned(self, planned: Sequence[PlannedImage], **kwargs: object) -> list[Tensor]:
        inputs = self._parse_and_validate_image_input(**kwargs)
        images = list(zip(inputs["pixel_values"], inputs["image_sizes"], planned, strict=True))
        return [
            embeddings
            for batch in self._micro_batches(images)
            for embeddings in self._embed_batch(*zip(*batch, strict=True))
        ]

    def _micro_batches(self, images: Sequence[Any]) -> Iterator[list[Any]]:
        """Split images so that the tower runs at most the profiled number of crops at once.

        A step brings no more (see `gprune_vllm.adapter.encoder_budget`), unless the operator names another manager of
        the encoder cache.
        """
        batch: list[Any] = []
        crops = 0
        for image in images:
            more = image[0].shape[0]
            if batch and crops + more > self.crop_limit:
                yield batch
                batch, crops = [], 0
            batch.append(image)
            crops += more
        yield batch

    def _embed_batch(
        self, pixel_values: Sequence[Tensor], sizes: Sequence[Tensor], planned: Sequence[PlannedImage]
    ) -> list[Tensor]:
        """Run tower, selection and projector on a micro-batch.

        Args:
            pixel_values: of each image `[crops, 3, crop_size, crop_size]`, possibly padded with empty crops.
            sizes: of each image `[2]`, `(height, width)`.
        """
        needed = [
            pixels[: image.plan.units] if image.plan.pruned else pixels
            for pixels, image in zip(pixel_values, planned, strict=True)
        ]
        features, seen = self._run_tower(needed, planned)
        if self.settings.prune_stage == "projector":
            features = self._project(features)
        kept = [
            self._keep(*image) if image[-1].plan.pruned else None for image in zip(features, seen, planned, strict=True)
        ]
        rows = [part if one is None else one.features for part, one in zip(features, kept, strict=True)]
        if self.settings.prune_stage == "vision":
            rows = self._project(rows)
        return [self._merge(*image) for image in zip(rows, kept, sizes, planned, strict=True)]

    def _run_tower(
        self, pixel_values: Sequence[Tensor], planned: Sequence[PlannedImage]
    ) -> tuple[Sequence[Tensor], list[Seen]]:
        """Features `[crops, patches, size]` of each image, and what its crops attended to, where a plan needs it."""
        crops = [len(pixels) for pixels in pixel_values]
        with self.watching(planned) as take:
            features = self._image_pixels_to_features(self.vision_tower, torch.cat(list(pixel_values)))
        parts = {name: values.split(crops) for name, values in take().items()}
        return features.split(crops), [{name: part[i] for name, part in parts.items()} for i in range(len(crops))]

    def scored(self, planned: Sequence[PlannedImage], **kwargs: object) -> tuple[Tensor, Seen]:
        inputs = self._parse_and_validate_image_input(**kwargs)
        (features,), (seen,) = self._run_tower(inputs["pixel_values"], planned)
        return (features if self.settings.prune_stage == "vision" else self._project([features])[0]), seen

    def _keep(self, features: Tensor, seen: Seen, image: PlannedImage) -> KeptTokens:
        """Select the patches of an image that stay, from features `[crops, patches, size]`."""
        selections = self.select(self.family.split(features, image.plan), seen, image)
        return KeptTokens.of(selections, self.family.layout(image.plan, features.device))

    def _project(self, images: Sequence[Tensor]) -> list[Tensor]:
        """Project all images' tokens, `[..., size]` each, in one call."""
        tokens = [image.flatten(0, -2) for image in images]  # [tokens, size]
        parts = self.multi_modal_projector(torch.cat(tokens)).split([len(part) for part in tokens])
        return [part.view(*image.shape[:-1], -1) for part, image in zip(parts, images, strict=True)]

    def _merge(self, rows: Tensor, kept: KeptTokens | None, size: Tensor, image: PlannedImage) -> Tensor:
        """Lay out an image's projected tokens as the language model reads them, newlines included."""
        if kept is None:
            merged: Tensor = self._merge_image_patch_embeddings(size, rows, strategy="spatial_unpad")
            return merged
        newlines = self.image_newline.expand(image.plan.structural, -1)  # [rows, hidden_size]
        layout = self.family.layout(image.plan, rows.device)
        return self.finish(KeptTokens(rows, kept.positions), newlines, layout, image.plan)

    def get_mm_lora_token_counts(self, *, modality: str, mm_kwargs: Any, num_mm_embeds: int) -> tuple[int, int | None]:
        # Upstream counts crops and ignores the number of embeddings.
        tower, connector = super().get_mm_lora_token_counts(
            modality=modality, mm_kwargs=mm_kwargs, num_mm_embeds=num_mm_embeds
        )
        planned = planned_in(mm_kwargs)
        if planned is None or not planned.plan.pruned or connector is None:
            return tower, connector
        crops, plan = self.family.units(mm_kwargs), planned.plan
        if self.settings.prune_stage == "vision":
            return tower // crops * plan.units, plan.patches_kept
        return tower // crops * plan.units, connector // crops * plan.units
