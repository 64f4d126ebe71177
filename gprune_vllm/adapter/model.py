"""LLaVA-NeXT with visual token pruning between its vision tower and its projector."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from vllm.config import VllmConfig
from vllm.distributed import get_tensor_model_parallel_rank
from vllm.model_executor.models.interfaces import SupportsMRoPE
from vllm.model_executor.models.llava import LlavaDummyInputsBuilder
from vllm.model_executor.models.llava_next import LlavaNextForConditionalGeneration
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.inputs import MultiModalFeatureSpec

from gprune_vllm.adapter.attention import TowerAttention
from gprune_vllm.adapter.config import settings_of
from gprune_vllm.adapter.encoder_budget import profiled_crops
from gprune_vllm.adapter.positions import PositionOffsets, append_offsets, request_positions, split_offsets
from gprune_vllm.adapter.processor import PLAN_FIELD, GPruneLlavaNextMultiModalProcessor, GPruneLlavaNextProcessingInfo
from gprune_vllm.adapter.timing import SelectionTimer, SharedHistogram, metrics_directory
from gprune_vllm.families.pruning import KeptPatches, insert_newlines, keep_patches
from gprune_vllm.methods.registry import needs_attention
from gprune_vllm.plan import PlannedImage


@MULTIMODAL_REGISTRY.register_processor(
    GPruneLlavaNextMultiModalProcessor,
    info=GPruneLlavaNextProcessingInfo,
    dummy_inputs=LlavaDummyInputsBuilder,
)
class GPruneLlavaNextForConditionalGeneration(LlavaNextForConditionalGeneration, SupportsMRoPE):
    """Changes against `vllm.model_executor.models.llava_next.LlavaNextForConditionalGeneration` (vLLM 0.32):

    - `embed_multimodal` prunes the images whose plan says so, in micro-batches of no more crops than vLLM profiled,
      and hands all others to the base class untouched. Methods that need it are told what the tower attends to;
    - with original positions, `get_mrope_input_positions`, `embed_input_ids` and `forward` give kept tokens the
      positions they had in the unpruned sequence (see `gprune_vllm.adapter.positions`); the language model keeps
      plain RoPE;
    - `get_mm_lora_token_counts` counts what the tower and the projector really see.
    """

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        self.settings = settings_of(self.config)
        self.crop_limit = _crop_limit(vllm_config)
        self.timer = _selection_timer(self.settings.methods)
        self.tower_attention = _tower_attention(self)
        self.offsets: PositionOffsets | None = None
        if self.settings.prune_positions == "original":
            max_num_tokens = vllm_config.scheduler_config.max_num_batched_tokens
            self.offsets = PositionOffsets(max_num_tokens, _rotary_positions(self.language_model))

    def embed_multimodal(self, **kwargs: object) -> Any:
        """Embeddings of each image, `[kept, hidden_size]`, pruned ones with their position offsets appended."""
        rows: Any = kwargs.pop(PLAN_FIELD, ())
        planned = [PlannedImage.of(row.tolist()) for row in rows]
        if not any(image.plan.pruned for image in planned):
            return super().embed_multimodal(**kwargs)
        inputs = self._parse_and_validate_image_input(**kwargs)
        images = list(zip(inputs["pixel_values"], inputs["image_sizes"], planned, strict=True))
        return [
            embeddings
            for batch in self._micro_batches(images)
            for embeddings in self._embed_images(*zip(*batch, strict=True))
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

    def _embed_images(
        self, pixel_values: Sequence[Tensor], sizes: Sequence[Tensor], planned: Sequence[PlannedImage]
    ) -> list[Tensor]:
        """Run tower, selection and projector on a micro-batch.

        Args:
            pixel_values: of each image `[crops, 3, crop_size, crop_size]`, possibly padded with empty crops.
            sizes: of each image `[2]`, `(height, width)`.
            planned: of each image what the processor told.
        """
        needed = [
            pixels[: image.plan.crops] if image.plan.pruned else pixels
            for pixels, image in zip(pixel_values, planned, strict=True)
        ]
        features, seen = self._run_tower(needed, planned)
        if self.settings.prune_stage == "vision":
            projected = self._project([self._keep(*image) for image in zip(features, seen, planned, strict=True)])
        else:
            projected = [self._keep(*image) for image in zip(self._project(features), seen, planned, strict=True)]
        return [self._merge(*image) for image in zip(projected, sizes, planned, strict=True)]

    def _run_tower(
        self, pixel_values: Sequence[Tensor], planned: Sequence[PlannedImage]
    ) -> tuple[Sequence[Tensor], list[dict[str, Tensor]]]:
        """Features `[crops, patches, hidden_size]` of each image, and what its crops attended to if that is needed."""
        crops = [len(pixels) for pixels in pixel_values]
        wanted = any(image.plan.pruned and needs_attention(self._method(image)) for image in planned)
        if not wanted or self.tower_attention is None:
            features = self._image_pixels_to_features(self.vision_tower, torch.cat(list(pixel_values)))
            return features.split(crops), [{} for _ in crops]
        with self.tower_attention.watching():
            features = self._image_pixels_to_features(self.vision_tower, torch.cat(list(pixel_values)))
        parts = {name: values.split(crops) for name, values in self.tower_attention.take().items()}
        return features.split(crops), [{name: part[i] for name, part in parts.items()} for i in range(len(crops))]

    def selection_features(
        self, pixel_values: Tensor, planned: Sequence[PlannedImage]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What one image's tokens are selected by, for any of these plans of it.

        Args:
            pixel_values: `[crops, 3, crop_size, crop_size]`.

        Returns:
            Features `[crops, patches, hidden_size]`, and what the crops attended to if a plan needs it.
        """
        (features,), (seen,) = self._run_tower([pixel_values], planned)
        return (features if self.settings.prune_stage == "vision" else self._project([features])[0]), seen

    def _keep(self, features: Tensor, seen: dict[str, Tensor], image: PlannedImage) -> Tensor | KeptPatches:
        """Drop an image's patch tokens that do not stay; unpruned images pass."""
        if not image.plan.pruned:
            return features
        method = self._method(image)
        with self.timer.time(features.device, method) if self.timer else nullcontext():
            return keep_patches(features, image.plan, method, seen, seed=image.seed, **self.settings.selector_options)

    def _method(self, image: PlannedImage) -> str:
        """The name of an image's selection method."""
        return self.settings.methods[image.method]

    def _project(self, images: Sequence[Any]) -> list[Any]:
        """Project all images' tokens in one call."""
        tokens = [image.features if isinstance(image, KeptPatches) else image.flatten(0, 1) for image in images]
        parts = self.multi_modal_projector(torch.cat(tokens)).split([len(part) for part in tokens])
        return [
            KeptPatches(part, image.positions)
            if isinstance(image, KeptPatches)
            else part.unflatten(0, image.shape[:2])  # [crops, patches, hidden_size]
            for part, image in zip(parts, images, strict=True)
        ]

    def _merge(self, image: Tensor | KeptPatches, size: Tensor, planned: PlannedImage) -> Tensor:
        """Lay out an image's projected tokens as the language model reads them, newlines included."""
        if not isinstance(image, KeptPatches):
            merged: Tensor = self._merge_image_patch_embeddings(size, image, strategy="spatial_unpad")
            return merged
        embeddings, offsets = insert_newlines(image, self.image_newline, planned.plan)
        return append_offsets(embeddings, offsets) if self.offsets is not None else embeddings

    def get_mrope_input_positions(
        self, input_tokens: list[int], mm_features: list[MultiModalFeatureSpec]
    ) -> tuple[Tensor, int]:
        """Positions `[3, num_tokens]` int64 of a prompt without its images' own offsets. See `SupportsMRoPE`."""
        placeholders = [
            (feature.mm_position.offset + feature.mm_position.length, _dropped(feature)) for feature in mm_features
        ]
        return request_positions(len(input_tokens), placeholders)

    def embed_input_ids(
        self, input_ids: Tensor, multimodal_embeddings: Any = None, *, is_multimodal: Tensor | None = None
    ) -> Tensor:
        if self.offsets is not None:
            multimodal_embeddings = self._take_offsets(multimodal_embeddings, is_multimodal)
        embedded: Tensor = super().embed_input_ids(input_ids, multimodal_embeddings, is_multimodal=is_multimodal)
        return embedded

    def _take_offsets(self, multimodal_embeddings: Any, is_multimodal: Tensor | None) -> Any:
        """Move the offsets of a batch's visual tokens from their embeddings to where `forward` reads them."""
        assert self.offsets is not None
        hidden_size = self.config.text_config.hidden_size
        embeddings = [] if multimodal_embeddings is None else list(multimodal_embeddings)
        if is_multimodal is None or all(item.shape[-1] == hidden_size for item in embeddings):
            self.offsets.clear()
            return multimodal_embeddings
        parts = [split_offsets(item, hidden_size) for item in embeddings]
        self.offsets.write(torch.cat([offsets for _, offsets in parts]), is_multimodal)
        return [item for item, _ in parts]

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        intermediate_tensors: Any = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: object,
    ) -> Any:
        if self.offsets is not None:
            positions = self.offsets.move(positions)
        return super().forward(input_ids, positions, intermediate_tensors, inputs_embeds, **kwargs)

    def get_mm_lora_token_counts(self, *, modality: str, mm_kwargs: Any, num_mm_embeds: int) -> tuple[int, int | None]:
        tower, connector = super().get_mm_lora_token_counts(
            modality=modality, mm_kwargs=mm_kwargs, num_mm_embeds=num_mm_embeds
        )
        row = mm_kwargs.get(PLAN_FIELD) if mm_kwargs else None
        if row is None or not (plan := PlannedImage.of(row.data.tolist()).plan).pruned or connector is None:
            return tower, connector
        crops = mm_kwargs["pixel_values"].data.shape[0]
        if self.settings.prune_stage == "vision":
            return tower // crops * plan.crops, plan.patches_kept
        return tower // crops * plan.crops, connector // crops * plan.crops


def _dropped(feature: MultiModalFeatureSpec) -> int:
    """Tokens of an image that were dropped; none for precomputed embeddings, which have no plan."""
    row = feature.data.get(PLAN_FIELD) if feature.data is not None else None
    if row is None:
        return 0
    plan = PlannedImage.of(row.data.tolist()).plan
    return plan.input - plan.kept


def _tower_attention(model: GPruneLlavaNextForConditionalGeneration) -> TowerAttention | None:
    """A watch on the tower's attention, where an enabled method needs it."""
    if not any(needs_attention(method) for method in model.settings.methods):
        return None
    class_token = model.config.vision_feature_select_strategy == "default"
    return TowerAttention(model.vision_tower, class_token)


def _crop_limit(vllm_config: VllmConfig) -> int:
    """Crops that the tower may run at once."""
    if vllm_config.lora_config is not None and vllm_config.lora_config.enable_tower_connector_lora:
        # vLLM lays out one adapter mapping for all images of a call, so that the call cannot be split.
        return torch.iinfo(torch.int64).max
    return profiled_crops(vllm_config)


def _selection_timer(methods: Sequence[str]) -> SelectionTimer | None:
    """A timer in one worker of each tensor-parallel group, where the API process is on the same machine."""
    directory = metrics_directory()
    if get_tensor_model_parallel_rank() or directory is None or not directory.is_dir():
        return None
    return SelectionTimer(SharedHistogram(directory, methods))


def _rotary_positions(language_model: torch.nn.Module) -> int:
    """Positions in the shortest rotary table of the language model, or a number beyond all where it has none."""
    caches = [getattr(module, "cos_sin_cache", None) for module in language_model.modules()]
    return min((len(cache) for cache in caches if isinstance(cache, Tensor)), default=torch.iinfo(torch.int64).max)
