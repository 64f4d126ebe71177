"""The multimodal processor: turns image sizes and a requested ratio into token plans, placeholders and cache keys."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor
from transformers import BatchFeature
from vllm.exceptions import VLLMValidationError
from vllm.multimodal.hasher import MultiModalHasher
from vllm.multimodal.inputs import MultiModalFieldConfig, MultiModalKwargsItems
from vllm.multimodal.parse import DictEmbeddingItems, EmbeddingItems, MultiModalDataItems
from vllm.multimodal.processing.inputs import ProcessorInputs
from vllm.multimodal.utils import group_and_batch_mm_items

from gprune_vllm.account import RECORD_KEY, PruneRecord, VisualTokenAccount
from gprune_vllm.adapter.checks import check_budget, check_media, check_positions
from gprune_vllm.adapter.inputs import (
    PLAN_FIELDS,
    PlannedInputs,
    PlannedPlaceholders,
    account_of,
    planned_in,
    sizes_of,
    smallest_ratio,
)
from gprune_vllm.adapter.refusal import (
    BUDGET_KEY,
    KEYS,
    METHOD_KEY,
    RATIO_KEY,
    SETTINGS_KEY,
    PruneRefusal,
    blamed_field,
    resolve_request,
    source_of,
    terms_of,
    without_pruning,
)
from gprune_vllm.defaults import METHOD
from gprune_vllm.plan import MediaSize, PlannedImage, PruneSpec, TokenPlan
from gprune_vllm.settings import PruneSettings

LARGEST_BUDGET = 2**31
"""Tokens that no image has. Larger budgets are all the same, and too large for vLLM's hash."""


class PruningProcessor:
    """Mixin in front of a `BaseMultiModalProcessor` of vLLM 0.32 whose info is a `PruningInfo`. Changes against it:

    - `apply` resolves what the request asks for against the settings and replaces it by its canonical form, which is
      part of the cache keys: all that prunes nothing hashes alike. It adds the request's account of visual tokens to
      its result. Names that clients give their images are no part of the keys, unless the operator trusts them;
    - `get_dummy_inputs` asks for no pruning, so that vLLM profiles the worst case whatever the default is;
    - the plan of each image or video travels to the model as a field, and it gets as many placeholders as it keeps.
    """

    info: Any

    def get_dummy_inputs(self, *args: Any, **kwargs: Any) -> ProcessorInputs:
        inputs: ProcessorInputs = super().get_dummy_inputs(*args, **kwargs)  # type: ignore[misc]
        return replace(inputs, hf_processor_mm_kwargs={RATIO_KEY: 0})

    def apply(self, inputs: ProcessorInputs, timing_ctx: Any) -> Any:
        planned = PlannedInputs(**{item.name: getattr(inputs, item.name) for item in fields(ProcessorInputs)})
        asked = inputs.hf_processor_mm_kwargs
        terms = terms_of(asked, self.info.settings)
        planned.spec, planned.source = self._spec(inputs, terms.settings), source_of(asked, terms)
        planned.tenant, planned.largest_ratio = terms.tenant, terms.settings.max_prune_ratio
        if not self.info.settings.trust_image_uuids:
            self._forget_names(planned)
        planned.plans = self._plans(planned, planned.spec, asked)
        planned.hf_processor_mm_kwargs = without_pruning(asked) | self._canonical(planned)
        # Before anything is cached: vLLM must not take for sent to the engine what the engine never receives.
        check_media(self.info, planned)
        result = super().apply(planned, timing_ctx)  # type: ignore[misc]
        return {**result, RECORD_KEY: PruneRecord(self._account(planned, len(result["prompt_token_ids"])))}

    def _spec(self, inputs: ProcessorInputs, settings: PruneSettings) -> PruneSpec:
        """Resolve what the request asks for. With anything that is taken whole, it must ask for no pruning."""
        asked = inputs.hf_processor_mm_kwargs
        spec, whole = resolve_request(settings, asked), self._taken_whole(inputs.mm_data_items)
        if not whole:
            return spec
        if asked.get(RATIO_KEY) or asked.get(BUDGET_KEY) is not None:
            field, (name, reason) = blamed_field(asked), whole
            raise PruneRefusal(f"{field} cannot apply to {name}. Omit it.", field, reason)
        return PruneSpec(method=spec.method)

    def _taken_whole(self, items: MultiModalDataItems) -> tuple[str, str] | None:
        """Return what of a prompt cannot be pruned, and the reason for metrics."""
        if any(isinstance(each, (EmbeddingItems, DictEmbeddingItems)) for each in items.values()):
            return "precomputed embeddings", "embeddings"
        others = [modality for modality in items if modality not in self.info.family.modalities]
        return (f"a prompt with a {others[0]}: of this model only images are pruned", "modality") if others else None

    def _sizes(self, items: MultiModalDataItems) -> dict[str, list[MediaSize | None]]:
        """List the sizes of what can be pruned."""
        return {name: sizes for name, sizes in sizes_of(items).items() if name in self.info.family.modalities}

    def _forget_names(self, inputs: PlannedInputs) -> None:
        """Have cache keys made of the images themselves: named alike, another client's would be taken for them."""
        for modality, sizes in sizes_of(inputs.mm_data_items).items():
            if None in sizes:
                raise VLLMValidationError(
                    f"The {modality} at index {sizes.index(None)} has a uuid in place of its data, which this server "
                    f"does not accept (--trust-image-uuids). Send the {modality} itself.",
                    parameter="uuid",
                )
        inputs.mm_uuid_items = None

    def _plans(
        self, inputs: PlannedInputs, spec: PruneSpec, kwargs: Mapping[str, object]
    ) -> dict[str, list[TokenPlan | None]]:
        """Plan each image and video; None for what vLLM's cache knows by its name only."""
        return {
            modality: [None if size is None else self.info.plan(modality, size, spec, kwargs) for size in sizes]
            for modality, sizes in self._sizes(inputs.mm_data_items).items()
        }

    def _canonical(self, inputs: PlannedInputs) -> dict[str, object]:
        """Processor arguments that ask for the pruning; empty where no image loses a token."""
        spec = inputs.spec
        plans = [plan for plans in inputs.plans.values() for plan in plans]
        if not spec.prunes or all(plan is not None and not plan.pruned for plan in plans):
            return {}
        amount: dict[str, object] = {RATIO_KEY: spec.ratio}
        if spec.budget is not None:
            amount = {BUDGET_KEY: min(spec.budget, LARGEST_BUDGET)}
        return amount | {METHOD_KEY: spec.method, SETTINGS_KEY: self.info.settings.fingerprint}

    def _account(self, inputs: PlannedInputs, prompt_length: int) -> VisualTokenAccount:
        """Count a prompt's visual tokens."""
        account = account_of(inputs)
        unpruned_length = prompt_length + sum(item.span - item.kept for item in inputs.all_placeholders)
        contiguous = self.info.settings.prune_positions == "contiguous"
        if prompt_length >= self.info.max_length and (contiguous or unpruned_length < self.info.max_position):
            account = replace(account, fitting_ratio=self._fitting_ratio(inputs, prompt_length - account.kept))
        if contiguous or account.input == account.kept:
            return account
        check_positions(self.info, inputs, unpruned_length)
        return replace(account, output_limit=self.info.max_position - unpruned_length)

    def _fitting_ratio(self, inputs: PlannedInputs, text_length: int) -> float | None:
        """Find the smallest ratio at which the prompt leaves room for a token of output."""
        plans = [item.plan for item in inputs.all_placeholders if item.plan is not None]
        largest = inputs.largest_ratio
        return smallest_ratio(plans, self.info.max_length - 1 - text_length, 1.0 if largest is None else largest)

    def _cached_apply_hf_processor(self, inputs: ProcessorInputs, timing_ctx: Any) -> Any:
        result = super()._cached_apply_hf_processor(inputs, timing_ctx)  # type: ignore[misc]
        if isinstance(inputs, PlannedInputs):
            inputs.placeholders = {
                modality: [update.content for updates in items for update in updates]
                for modality, items in result.prompt_updates.items()
            }
        return result

    def _get_cache_missing_processor_kwargs(self, inputs: ProcessorInputs, mm_is_cached: Any) -> Mapping[str, object]:
        kwargs: Mapping[str, object] = super()._get_cache_missing_processor_kwargs(inputs, mm_is_cached)  # type: ignore[misc]
        asked = inputs.hf_processor_mm_kwargs
        return {**kwargs, **{key: asked[key] for key in (*KEYS, SETTINGS_KEY) if key in asked}}  # may be merged anew

    def _apply_hf_processor_main(self, mm_items: MultiModalDataItems, hf_kwargs: Mapping[str, object]) -> BatchFeature:
        output: BatchFeature = super()._apply_hf_processor_main(mm_items, without_pruning(hf_kwargs))  # type: ignore[misc]
        spec = _canonical_spec(hf_kwargs)
        for modality, sizes in self._sizes(mm_items).items():
            if sizes:
                output[PLAN_FIELDS[modality]] = [
                    self._row(modality, size, output, index, spec, hf_kwargs)
                    for index, size in enumerate(sizes)
                    if size is not None  # never here: what has no data is not processed
                ]
        return output

    def _row(
        self,
        modality: str,
        size: MediaSize,
        output: BatchFeature,
        index: int,
        spec: PruneSpec,
        kwargs: Mapping[str, object],
    ) -> Tensor:
        """Plan what the processor made of an image or a video."""
        counted = self.info.family.processed(self.info.config, modality, output, index)
        if counted is None:
            plan = self.info.plan(modality, size, spec, kwargs)
        else:
            plan = self.info.family.plan(self.info.config, counted, spec)
        return torch.tensor(self._planned(modality, plan, output, index, spec.method).row())

    def _planned(
        self, modality: str, plan: TokenPlan, outputs: Mapping[str, Any], index: int, method: str
    ) -> PlannedImage:
        """Name the method of a planned image by its index, and its pixels by their digest."""
        if not plan.pruned:
            return PlannedImage(plan)
        digest = self._digest(self.info.family.pixels(modality, outputs, index, plan))
        return PlannedImage(plan, self.info.settings.methods.index(method), digest)

    def _digest(self, pixels: Tensor) -> int:
        """Digest of an image's pixels, in the 63 bits that an int64 has room for, by vLLM's hash for cache keys."""
        digest = MultiModalHasher.hash_kwargs(self.info.ctx.get_mm_config().mm_hasher_algorithm, pixels=pixels)
        return int(digest[:16], 16) >> 1

    def _get_mm_fields_config(
        self, hf_inputs: BatchFeature, hf_processor_mm_kwargs: Mapping[str, object]
    ) -> dict[str, MultiModalFieldConfig]:
        config = dict(super()._get_mm_fields_config(hf_inputs, without_pruning(hf_processor_mm_kwargs)))  # type: ignore[misc]
        modalities = self.info.family.modalities
        return config | {
            PLAN_FIELDS[modality]: MultiModalFieldConfig.batched(modality, keep_on_cpu=True) for modality in modalities
        }

    def _get_mm_prompt_updates(
        self,
        mm_items: MultiModalDataItems,
        hf_processor_mm_kwargs: Mapping[str, object],
        out_mm_kwargs: MultiModalKwargsItems,
    ) -> Any:
        updates = super()._get_mm_prompt_updates(mm_items, without_pruning(hf_processor_mm_kwargs), out_mm_kwargs)  # type: ignore[misc]
        for modality in updates.keys() & PLAN_FIELDS.keys():
            for index, item in enumerate(updates[modality]):
                planned = planned_in(out_mm_kwargs[modality][index])
                plan = None if planned is None else planned.plan
                updates[modality][index] = [
                    replace(update, content=PlannedPlaceholders.of(update.content, plan)) for update in item
                ]
        return updates

    def plan_item(
        self, modality: str, item: Any, specs: Sequence[PruneSpec], largest_ratio: float | None
    ) -> tuple[dict[str, Tensor], MediaSize, list[PlannedImage]]:
        """Return what the model gets for an RGB image or a video, as a batch of it alone, with its size and plans.

        Args:
            modality: "image" or "video".
            item: as vLLM loads it.
            specs: of each plan.
            largest_ratio: the largest that the request may ask for; None if there is no limit.

        Raises:
            PruneRefusal: a budget is below the server's limit.
            VLLMValidationError: the model's processor takes nothing of this size.
        """
        items = self.info.parse_mm_data({modality: [item]}, validate=False)
        (size,) = sizes_of(items)[modality]
        assert size is not None
        output: BatchFeature = super()._apply_hf_processor_main(items, {})  # type: ignore[misc]
        config = super()._get_mm_fields_config(output, {})  # type: ignore[misc]
        planned = [self._planned_item(modality, size, output, spec, largest_ratio) for spec in specs]
        ((_, batch),) = group_and_batch_mm_items(MultiModalKwargsItems.from_hf_inputs(output, config)[modality])
        tensors = {name: value for name, value in batch.items() if isinstance(value, Tensor)}  # not timestamps
        return tensors, size, planned

    def _planned_item(
        self, modality: str, size: MediaSize, output: BatchFeature, spec: PruneSpec, largest_ratio: float | None
    ) -> PlannedImage:
        plan = self.info.plan(modality, size, spec)
        check_budget(plan, spec, largest_ratio)
        return self._planned(modality, plan, output, 0, spec.method)


def _canonical_spec(kwargs: Mapping[str, Any]) -> PruneSpec:
    """What canonical processor arguments ask for."""
    return PruneSpec(kwargs.get(RATIO_KEY, 0.0), kwargs.get(BUDGET_KEY), kwargs.get(METHOD_KEY, METHOD))
