"""The multimodal processor: turns image sizes and a requested ratio into token plans, placeholders and cache keys."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import cached_property
from typing import Any, ClassVar
from zlib import crc32

import torch
from torch import Tensor
from transformers import BatchFeature
from vllm.exceptions import VLLMValidationError
from vllm.multimodal.inputs import MultiModalFieldConfig, MultiModalKwargsItems
from vllm.multimodal.parse import ImageEmbeddingItems, ImageProcessorItems, MultiModalDataItems
from vllm.multimodal.processing.inputs import ProcessorInputs
from vllm.multimodal.utils import group_and_batch_mm_items

from gprune_vllm.account import RECORD_KEY, PruneRecord, VisualTokenAccount
from gprune_vllm.adapter.config import settings_of
from gprune_vllm.adapter.family import Family
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
from gprune_vllm.plan import PlannedImage, PruneSpec, TokenPlan
from gprune_vllm.settings import PruneSettings

SETTINGS_KEY = "prune_settings"
"""Key under which the settings that shape the result enter the cache keys. Clients' values for it are dropped."""
PLAN_FIELD = "token_plan"
"""Field that carries each `PlannedImage` to the model, as the int64 tensor of its row, kept on the CPU."""


class PruningInfo:
    """Mixin in front of a `BaseProcessingInfo` of vLLM 0.32. Changes against it:

    - `get_hf_processor` leaves out the pruning arguments, which the HF processor does not know;
    - it plans visual tokens from image sizes.

    Attributes:
        family: of the model.
    """

    family: ClassVar[Family]
    ctx: Any

    def get_hf_processor(self, **kwargs: object) -> Any:
        return super().get_hf_processor(**_without_pruning(kwargs))  # type: ignore[misc]

    @property
    def config(self) -> Any:
        """The model's HF configuration."""
        return self.ctx.model_config.hf_config

    @cached_property
    def settings(self) -> PruneSettings:
        """The server's settings."""
        return settings_of(self.config)

    def plan(self, height: int, width: int, spec: PruneSpec) -> TokenPlan:
        """Plan an image of this size, in pixels."""
        return self.family.plan(self.config, (height, width), spec)

    @cached_property
    def most_patches(self) -> int:
        """Patch tokens of the largest image."""
        return self.family.largest(self.config).patches

    @property
    def max_position(self) -> int:
        """Positions a request may use. Beyond them the rotary embedding's table ends."""
        model_config = self.ctx.model_config
        trained = getattr(model_config.hf_text_config, "max_position_embeddings", None) or 0
        return max(int(trained), int(model_config.max_model_len))


class PruningProcessor:
    """Mixin in front of a `BaseMultiModalProcessor` of vLLM 0.32 whose info is a `PruningInfo`. Changes against it:

    - `apply` resolves what the request asks for against the settings and replaces it by its canonical form, which is
      part of the cache keys: all that prunes nothing hashes alike. It adds the request's account of visual tokens to
      its result. Names that clients give their images are no part of the keys, unless the operator trusts them;
    - `get_dummy_inputs` asks for no pruning, so that vLLM profiles the worst case whatever the default is;
    - the plan of each image travels to the model as a field, and the image gets as many placeholders as it keeps.
    """

    info: Any

    def get_dummy_inputs(self, *args: Any, **kwargs: Any) -> ProcessorInputs:
        inputs: ProcessorInputs = super().get_dummy_inputs(*args, **kwargs)  # type: ignore[misc]
        return replace(inputs, hf_processor_mm_kwargs={RATIO_KEY: 0})

    def apply(self, inputs: ProcessorInputs, timing_ctx: Any) -> Any:
        planned = PlannedInputs(**{item.name: getattr(inputs, item.name) for item in fields(ProcessorInputs)})
        asked = inputs.hf_processor_mm_kwargs
        planned.spec, planned.source = self._spec(inputs), source_of(asked)
        if not self.info.settings.trust_image_uuids:
            self._forget_names(planned)
        planned.plans = self._plans(planned, planned.spec)
        planned.hf_processor_mm_kwargs = _without_pruning(asked) | self._canonical(planned)
        # Before anything is cached: vLLM must not take for sent to the engine what the engine never receives.
        self._check_images(planned)
        result = super().apply(planned, timing_ctx)  # type: ignore[misc]
        return {**result, RECORD_KEY: PruneRecord(self._account(planned, len(result["prompt_token_ids"])))}

    def _spec(self, inputs: ProcessorInputs) -> PruneSpec:
        """Resolve what the request asks for. Precomputed embeddings are taken whole, so it must ask for no pruning."""
        asked = inputs.hf_processor_mm_kwargs
        spec = resolve_request(self.info.settings, asked)
        if not isinstance(inputs.mm_data_items.get("image"), ImageEmbeddingItems):
            return spec
        if asked.get(RATIO_KEY) or asked.get(BUDGET_KEY) is not None:
            field = blamed_field(asked)
            raise PruneRefusal(f"{field} cannot apply to precomputed image embeddings. Omit it.", field, "embeddings")
        return PruneSpec(method=spec.method)

    def _forget_names(self, inputs: PlannedInputs) -> None:
        """Have cache keys made of the images themselves: named alike, another client's would be taken for them."""
        if None in sizes_of(inputs):
            raise VLLMValidationError(
                "An image has a uuid in place of its data, which this server does not accept (--trust-image-uuids). "
                "Send the image itself.",
                parameter="uuid",
            )
        inputs.mm_uuid_items = None

    def _plans(self, inputs: PlannedInputs, spec: PruneSpec) -> list[TokenPlan | None]:
        """Plan each image; None for one that vLLM's cache knows by its name only."""
        sizes = sizes_of(inputs)
        return [None if size is None else self.info.plan(size.height, size.width, spec) for size in sizes]

    def _canonical(self, inputs: PlannedInputs) -> dict[str, object]:
        """Processor arguments that ask for the pruning; empty where no image loses a token."""
        spec = inputs.spec
        if not spec.prunes or all(plan is not None and not plan.pruned for plan in inputs.plans):
            return {}
        amount: dict[str, object] = {RATIO_KEY: spec.ratio}
        if spec.budget is not None:  # larger ones are all the same, and too large for vLLM's hash
            amount = {BUDGET_KEY: min(spec.budget, self.info.most_patches)}
        return amount | {METHOD_KEY: spec.method, SETTINGS_KEY: self.info.settings.fingerprint}

    def _check_images(self, inputs: PlannedInputs) -> None:
        """Refuse images without a place in the prompt, budgets below the limit, and prompts with too many positions."""
        self._check_places(inputs)
        for plan, size in zip(inputs.plans, sizes_of(inputs), strict=True):
            if plan is not None:
                self._check_budget(plan, inputs.spec, size.height, size.width)
        known = [plan for plan in inputs.plans if plan is not None]
        if any(plan.pruned for plan in known):
            self._check_positions(inputs, len(inputs.prompt) + sum(plan.span - 1 for plan in known))

    def _check_places(self, inputs: PlannedInputs) -> None:
        """Refuse a prompt that has fewer places for images than images. vLLM would fail on it."""
        images = inputs.mm_data_items.get("image")
        if images is None or isinstance(inputs.prompt, str):
            return
        places = list(inputs.prompt).count(self.info.family.image_token(self.info.config))
        if places < len(images):
            raise VLLMValidationError(
                f"The prompt has {len(images)} images, but places for {places}: truncate_prompt_tokens must not cut "
                "them off.",
                parameter="truncate_prompt_tokens",
            )

    def _check_budget(self, plan: TokenPlan, spec: PruneSpec, height: int, width: int) -> None:
        """Refuse a budget that keeps fewer tokens of an image than the largest ratio does."""
        largest_ratio = self.info.settings.max_prune_ratio
        if spec.budget is None or largest_ratio is None:
            return
        least = self.info.plan(height, width, PruneSpec(largest_ratio)).patches_kept
        if plan.patches_kept < least:
            raise PruneRefusal(
                f"visual_token_budget keeps {plan.patches_kept} of an image's {plan.patches} patch tokens. This "
                f"server's limit of {largest_ratio} (--max-prune-ratio) keeps at least {least}.",
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
        result = super()._cached_apply_hf_processor(inputs, timing_ctx)  # type: ignore[misc]
        if isinstance(inputs, PlannedInputs):
            for updates in result.prompt_updates.get("image", []):
                inputs.placeholders += [update.content for update in updates]
        return result

    def _apply_hf_processor_main(self, mm_items: MultiModalDataItems, hf_kwargs: Mapping[str, object]) -> BatchFeature:
        output: BatchFeature = super()._apply_hf_processor_main(mm_items, _without_pruning(hf_kwargs))  # type: ignore[misc]
        images, spec = mm_items.get("image"), _canonical_spec(hf_kwargs)
        if isinstance(images, ImageProcessorItems):
            sizes = [images.get_image_size(index) for index in range(len(images))]
            plans = [self.info.plan(size.height, size.width, spec) for size in sizes]
            output[PLAN_FIELD] = [
                torch.tensor(self._planned(plan, output, index, spec.method).row()) for index, plan in enumerate(plans)
            ]
        return output

    def _planned(self, plan: TokenPlan, outputs: Mapping[str, Any], index: int, method: str) -> PlannedImage:
        """Name the method of a planned image by its index, and seed its random draw by its pixels."""
        if not plan.pruned:
            return PlannedImage(plan)
        seed = _seed(self.info.family.pixels(outputs, index, plan)) if method == "random" else 0
        return PlannedImage(plan, self.info.settings.methods.index(method), seed)

    def _get_mm_fields_config(
        self, hf_inputs: BatchFeature, hf_processor_mm_kwargs: Mapping[str, object]
    ) -> dict[str, MultiModalFieldConfig]:
        config = dict(super()._get_mm_fields_config(hf_inputs, _without_pruning(hf_processor_mm_kwargs)))  # type: ignore[misc]
        return config | {PLAN_FIELD: MultiModalFieldConfig.batched("image", keep_on_cpu=True)}

    def _get_mm_prompt_updates(
        self,
        mm_items: MultiModalDataItems,
        hf_processor_mm_kwargs: Mapping[str, object],
        out_mm_kwargs: MultiModalKwargsItems,
    ) -> Any:
        updates = super()._get_mm_prompt_updates(mm_items, _without_pruning(hf_processor_mm_kwargs), out_mm_kwargs)  # type: ignore[misc]
        for index, item in enumerate(updates.get("image", [])):
            row = out_mm_kwargs["image"][index].get(PLAN_FIELD)
            plan = None if row is None else PlannedImage.of(row.data.tolist()).plan
            updates["image"][index] = [
                replace(update, content=PlannedPlaceholders.of(update.content, plan)) for update in item
            ]
        return updates

    def plan_image(self, image: Any, specs: Sequence[PruneSpec]) -> tuple[dict[str, Tensor], list[PlannedImage]]:
        """What the model gets for an RGB image, as a batch of it alone, and the image's plan for each specification.

        Raises:
            PruneRefusal: a budget is below the server's limit.
        """
        items = self.info.parse_mm_data({"image": [image]}, validate=False)
        output: BatchFeature = super()._apply_hf_processor_main(items, {})  # type: ignore[misc]
        config = super()._get_mm_fields_config(output, {})  # type: ignore[misc]
        plans = [self.info.plan(image.height, image.width, spec) for spec in specs]
        for plan, spec in zip(plans, specs, strict=True):
            self._check_budget(plan, spec, image.height, image.width)
        planned = [self._planned(plan, output, 0, spec.method) for plan, spec in zip(plans, specs, strict=True)]
        ((_, batch),) = group_and_batch_mm_items(MultiModalKwargsItems.from_hf_inputs(output, config)["image"])
        return dict(batch), planned


def _without_pruning(kwargs: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in kwargs.items() if key not in (*KEYS, SETTINGS_KEY)}


def _canonical_spec(kwargs: Mapping[str, Any]) -> PruneSpec:
    """What canonical processor arguments ask for."""
    return PruneSpec(kwargs.get(RATIO_KEY, 0.0), kwargs.get(BUDGET_KEY), kwargs.get(METHOD_KEY, "gprune"))


def _seed(pixels: Tensor) -> int:
    """Seed of an image's random selection, from its pixels: the same whenever it is encoded again."""
    return crc32(pixels.cpu().contiguous().view(torch.uint8).numpy().data)
