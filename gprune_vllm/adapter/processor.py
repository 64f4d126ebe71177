"""The multimodal processor: turns image sizes and a requested ratio into token plans, placeholders and cache keys."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import cached_property
from typing import Any
from zlib import crc32

import torch
from transformers import BatchFeature
from vllm.exceptions import VLLMValidationError
from vllm.model_executor.models.llava_next import LlavaNextMultiModalProcessor, LlavaNextProcessingInfo
from vllm.multimodal.inputs import MultiModalFieldConfig, MultiModalKwargsItems
from vllm.multimodal.parse import ImageEmbeddingItems, ImageProcessorItems, MultiModalDataItems
from vllm.multimodal.processing import PromptReplacement, PromptUpdate
from vllm.multimodal.processing.inputs import ProcessorInputs

from gprune_vllm.account import ACCOUNT_KEY, VisualTokenAccount
from gprune_vllm.adapter.config import settings_of
from gprune_vllm.adapter.inputs import PlannedInputs, PlannedPlaceholders, account_of, sizes_of
from gprune_vllm.adapter.refusal import (
    BUDGET_KEY,
    KEYS,
    METHOD_KEY,
    RATIO_KEY,
    PruneRefusal,
    blamed_field,
    resolve_request,
    source_of,
)
from gprune_vllm.plan import PlannedImage, PruneSpec, TokenPlan, largest_plan, plan_tokens
from gprune_vllm.settings import PruneSettings

SETTINGS_KEY = "prune_settings"
"""Key under which the settings that shape the result enter the cache keys. Clients' values for it are dropped."""
PLAN_FIELD = "token_plan"
"""Field that carries each `PlannedImage` to the model, as the int64 tensor of its row, kept on the CPU."""


class GPruneLlavaNextProcessingInfo(LlavaNextProcessingInfo):
    """Changes against `vllm.model_executor.models.llava_next.LlavaNextProcessingInfo` (vLLM 0.32):

    - `get_hf_processor` leaves out the pruning arguments, which the HF processor does not know;
    - plans visual tokens from image sizes.
    """

    def get_hf_processor(self, **kwargs: object) -> Any:
        return super().get_hf_processor(**_without_pruning(kwargs))

    @cached_property
    def settings(self) -> PruneSettings:
        """The server's settings."""
        return settings_of(self.get_hf_config())

    def plan(self, height: int, width: int, spec: PruneSpec) -> TokenPlan:
        """The plan of an image of this size, in pixels."""
        return plan_tokens((height, width), *self._geometry, spec)

    @cached_property
    def most_patches(self) -> int:
        """Patch tokens of the largest image."""
        return largest_plan(*self._geometry).patches

    @property
    def _geometry(self) -> tuple[Any, int, int]:
        config = self.get_hf_config()
        return config.image_grid_pinpoints, config.vision_config.image_size, config.vision_config.patch_size

    @property
    def max_position(self) -> int:
        """Positions a request may use. Beyond them the rotary embedding's table ends."""
        model_config = self.ctx.model_config
        trained = getattr(model_config.hf_text_config, "max_position_embeddings", None) or 0
        return max(int(trained), int(model_config.max_model_len))


class GPruneLlavaNextMultiModalProcessor(LlavaNextMultiModalProcessor[GPruneLlavaNextProcessingInfo]):
    """Changes against `vllm.model_executor.models.llava_next.LlavaNextMultiModalProcessor` (vLLM 0.32):

    - `apply` resolves what the request asks for against the settings and replaces it by its canonical form, which is
      part of the cache keys: all that prunes nothing hashes alike. It adds the request's account of visual tokens to
      its result. Names that clients give their images are no part of the keys, unless the operator trusts them;
    - `get_dummy_inputs` asks for no pruning, so that vLLM profiles the worst case whatever the default is;
    - each image gets as many placeholders as its plan keeps, and the plan travels to the model as a field.
    """

    def get_dummy_inputs(self, *args: Any, **kwargs: Any) -> ProcessorInputs:
        return replace(super().get_dummy_inputs(*args, **kwargs), hf_processor_mm_kwargs={RATIO_KEY: 0})

    def apply(self, inputs: ProcessorInputs, timing_ctx: Any) -> Any:
        planned = PlannedInputs(**{item.name: getattr(inputs, item.name) for item in fields(ProcessorInputs)})
        asked = inputs.hf_processor_mm_kwargs
        planned.spec = self._spec(inputs)
        planned.source = source_of(asked)
        if not self.info.settings.trust_image_uuids:
            self._forget_names(planned)
        planned.hf_processor_mm_kwargs = _without_pruning(asked) | self._canonical(planned)
        # Before anything is cached: vLLM must not take for sent to the engine what the engine never receives.
        self._check_images(planned)
        result = super().apply(planned, timing_ctx)
        return {**result, ACCOUNT_KEY: self._account(planned, len(result["prompt_token_ids"]))}

    def _spec(self, inputs: ProcessorInputs) -> PruneSpec:
        """What the request asks for. Precomputed embeddings are taken whole, and no pruning can be asked of them."""
        asked = inputs.hf_processor_mm_kwargs
        spec = resolve_request(self.info.settings, asked)
        if not isinstance(inputs.mm_data_items.get("image"), ImageEmbeddingItems):
            return spec
        if asked.get(RATIO_KEY) or asked.get(BUDGET_KEY) is not None:
            field = blamed_field(asked)
            raise PruneRefusal(f"{field} cannot apply to precomputed image embeddings", field, "embeddings")
        return PruneSpec(method=spec.method)

    def _forget_names(self, inputs: PlannedInputs) -> None:
        """Have cache keys made of the images themselves: named alike, another client's would be taken for them."""
        if None in sizes_of(inputs):
            raise VLLMValidationError(
                "an image has a uuid in place of its data, and this server knows no image by its uuid "
                "(--trust-image-uuids); send the image itself",
                parameter="uuid",
            )
        inputs.mm_uuid_items = None

    def _canonical(self, inputs: PlannedInputs) -> dict[str, object]:
        """Processor arguments that ask for the pruning: none at all where no image loses a token."""
        spec = inputs.spec
        known = None not in sizes_of(inputs)
        if not spec.prunes or (known and not any(plan.pruned for plan in self._plans(inputs, spec))):
            return {}
        amount: dict[str, object] = {RATIO_KEY: spec.ratio}
        if spec.budget is not None:  # larger ones are all the same, and too large for vLLM's hash
            amount = {BUDGET_KEY: min(spec.budget, self.info.most_patches)}
        return amount | {METHOD_KEY: spec.method, SETTINGS_KEY: self.info.settings.fingerprint}

    def _plans(self, inputs: PlannedInputs, spec: PruneSpec) -> list[TokenPlan]:
        """Plans of the images, those known to vLLM's cache by their name only left out."""
        return [self.info.plan(size.height, size.width, spec) for size in sizes_of(inputs) if size is not None]

    def _check_images(self, inputs: PlannedInputs) -> None:
        """Refuse what is wrong with the images sent: no place in the prompt, a budget below the limit, or too many
        positions."""
        self._check_places(inputs)
        plans = self._plans(inputs, inputs.spec)
        if inputs.spec.budget is not None and self.info.settings.max_prune_ratio is not None:
            least = self._plans(inputs, PruneSpec(self.info.settings.max_prune_ratio))
            for plan, limit in zip(plans, least, strict=True):
                self._check_budget(plan, limit)
        if any(plan.pruned for plan in plans):
            self._check_positions(inputs, len(inputs.prompt) + sum(plan.input - 1 for plan in plans))

    def _check_places(self, inputs: PlannedInputs) -> None:
        """Refuse a prompt that has fewer places for images than images. vLLM would fail on it."""
        images = inputs.mm_data_items.get("image")
        if images is None or isinstance(inputs.prompt, str):
            return
        places = list(inputs.prompt).count(self.info.get_hf_config().image_token_index)
        if places < len(images):
            raise VLLMValidationError(
                f"the prompt has {len(images)} images, but places for {places}: truncate_prompt_tokens must not cut "
                "them off",
                parameter="truncate_prompt_tokens",
            )

    def _check_budget(self, plan: TokenPlan, limit: TokenPlan) -> None:
        """Refuse a budget that keeps fewer tokens of an image than the largest ratio does."""
        if plan.patches_kept < limit.patches_kept:
            raise PruneRefusal(
                f"visual_token_budget keeps {plan.patches_kept} of an image's {plan.patches} patch tokens; this "
                f"server's limit of {self.info.settings.max_prune_ratio} (--max-prune-ratio) keeps at least "
                f"{limit.patches_kept}",
                BUDGET_KEY,
                "above_limit",
            )

    def _check_positions(self, inputs: PlannedInputs, unpruned_length: int) -> None:
        """Refuse a prompt whose unpruned length exceeds the model's positions, where kept tokens keep theirs."""
        limit = self.info.max_position
        if self.info.settings.prune_positions == "original" and unpruned_length >= limit:
            raise PruneRefusal(
                f"The prompt's images keep their original positions when they are pruned, and its unpruned length of "
                f"{unpruned_length} tokens exceeds the model's {limit} positions. Send fewer or smaller images, or ask "
                "the operator to start with --prune-positions contiguous.",
                RATIO_KEY if inputs.spec.budget is None else BUDGET_KEY,
                "positions",
            )

    def _account(self, inputs: PlannedInputs, prompt_length: int) -> VisualTokenAccount:
        """Count a prompt's visual tokens."""
        account = account_of(inputs)
        dropped = account.input - account.kept
        if self.info.settings.prune_positions == "contiguous" or not dropped:
            return account
        self._check_positions(inputs, prompt_length + dropped)
        return replace(account, output_limit=self.info.max_position - prompt_length - dropped)

    def _cached_apply_hf_processor(self, inputs: ProcessorInputs, timing_ctx: Any) -> Any:
        result = super()._cached_apply_hf_processor(inputs, timing_ctx)
        if isinstance(inputs, PlannedInputs):
            for updates in result.prompt_updates.get("image", []):
                inputs.placeholders += [update.content for update in updates]
        return result

    def _call_hf_processor(self, hf_data: Mapping[str, object], hf_kwargs: Mapping[str, object]) -> BatchFeature:
        output = super()._call_hf_processor(hf_data, _without_pruning(hf_kwargs))
        spec = _canonical_spec(hf_kwargs)
        sizes = output["image_sizes"].tolist() if "image_sizes" in output else []
        rows = [
            self._planned(self.info.plan(height, width, spec), pixels, spec.method).row()
            for (height, width), pixels in zip(sizes, output.get("pixel_values", []), strict=True)
        ]
        if rows:
            output[PLAN_FIELD] = torch.tensor(rows, dtype=torch.int64)  # [num_images, len(row)]
        return output

    def plan_image(self, image: Any, specs: Sequence[PruneSpec]) -> tuple[torch.Tensor, list[PlannedImage]]:
        """Pixels `[crops, 3, crop_size, crop_size]` of an RGB image as the model gets them, and its plan for each spec.

        Raises:
            PruneRefusal: a budget is below the server's limit.
        """
        pixels = self.info.get_hf_processor().image_processor(image, return_tensors="pt")["pixel_values"][0]
        pixels = pixels.to(self.info.ctx.model_config.dtype)
        plans = [self.info.plan(image.height, image.width, spec) for spec in specs]
        for plan, spec in zip(plans, specs, strict=True):
            if spec.budget is not None and self.info.settings.max_prune_ratio is not None:
                least = PruneSpec(self.info.settings.max_prune_ratio)
                self._check_budget(plan, self.info.plan(image.height, image.width, least))
        return pixels, [self._planned(plan, pixels, spec.method) for plan, spec in zip(plans, specs, strict=True)]

    def _planned(self, plan: TokenPlan, pixels: torch.Tensor, method: str) -> PlannedImage:
        """A planned image. Its crops may be padded with empty ones, to as many as another image's."""
        if not plan.pruned:
            return PlannedImage(plan)
        seed = _seed(pixels[: plan.crops]) if method == "random" else 0
        return PlannedImage(plan, self.info.settings.methods.index(method), seed)

    def _get_mm_fields_config(
        self, hf_inputs: BatchFeature, hf_processor_mm_kwargs: Mapping[str, object]
    ) -> dict[str, MultiModalFieldConfig]:
        fields_config = dict(super()._get_mm_fields_config(hf_inputs, hf_processor_mm_kwargs))
        return fields_config | {PLAN_FIELD: MultiModalFieldConfig.batched("image", keep_on_cpu=True)}

    def _get_prompt_updates(
        self,
        mm_items: MultiModalDataItems,
        hf_processor_mm_kwargs: Mapping[str, object],
        out_mm_kwargs: MultiModalKwargsItems,
    ) -> Sequence[PromptUpdate]:
        image_token = self.info.get_hf_config().image_token_index
        spec = _canonical_spec(hf_processor_mm_kwargs)

        def replacement(index: int) -> PlannedPlaceholders:
            images = mm_items.get_items("image", (ImageEmbeddingItems, ImageProcessorItems))
            if isinstance(images, ImageEmbeddingItems):
                return PlannedPlaceholders([image_token] * images.get_feature_size(index))
            size = images.get_image_size(index)
            plan = self.info.plan(size.height, size.width, spec)
            return PlannedPlaceholders([image_token] * plan.kept, plan=plan)

        return [PromptReplacement(modality="image", target=[image_token], replacement=replacement)]


def _without_pruning(kwargs: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in kwargs.items() if key not in (*KEYS, SETTINGS_KEY)}


def _canonical_spec(kwargs: Mapping[str, Any]) -> PruneSpec:
    """What canonical processor arguments ask for."""
    return PruneSpec(kwargs.get(RATIO_KEY, 0.0), kwargs.get(BUDGET_KEY), kwargs.get(METHOD_KEY, "gprune"))


def _seed(pixels: torch.Tensor) -> int:
    """Seed of an image's random selection, from its pixels: the same whenever it is encoded again."""
    return crc32(pixels.cpu().contiguous().view(torch.uint8).numpy().data)
