"""The multimodal processor: turns image sizes and a requested ratio into token plans, placeholders and cache keys."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields, replace
from functools import cached_property
from typing import Any
from zlib import crc32

import torch
from transformers import BatchFeature
from vllm.model_executor.models.llava_next import LlavaNextMultiModalProcessor, LlavaNextProcessingInfo
from vllm.multimodal.inputs import MultiModalFieldConfig, MultiModalKwargsItems
from vllm.multimodal.parse import ImageEmbeddingItems, ImageProcessorItems, MultiModalDataItems
from vllm.multimodal.processing import PromptReplacement, PromptUpdate, PromptUpdateDetails
from vllm.multimodal.processing.inputs import ProcessorInputs

from gprune_vllm.account import ACCOUNT_KEY, VisualTokenAccount
from gprune_vllm.config import settings_of
from gprune_vllm.plan import PruneSpec, TokenPlan, plan_tokens
from gprune_vllm.refusal import RATIO_KEY, PruneRefusal, resolve_ratio
from gprune_vllm.settings import PruneSettings

SETTINGS_KEY = "prune_settings"
"""Key under which the settings that shape the result enter the cache keys. Clients' values for it are dropped."""
PLAN_FIELD = "token_plan"
"""Field that carries each image's plan and seed to the model: `[len(TokenPlan) + 1]` int64, kept on the CPU."""


@dataclass
class PlannedPlaceholders(PromptUpdateDetails):
    """Placeholder tokens of one image, with the plan they were counted by (None for precomputed embeddings).

    Changes against `vllm.multimodal.processing.PromptUpdateDetails` (vLLM 0.32): carries the plan, so that it can
    still be read where vLLM finds the image in its cache.
    """

    plan: TokenPlan | None = None


@dataclass
class PlannedInputs(ProcessorInputs):
    """Inputs of one call of the processor, collecting its plans. Whether the request named a ratio is kept too.

    Changes against `vllm.multimodal.processing.inputs.ProcessorInputs` (vLLM 0.32): has a place for the result.
    """

    placeholders: list[PlannedPlaceholders] = field(default_factory=list)
    named: bool = False


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

    def plan(self, height: int, width: int, ratio: float) -> TokenPlan:
        """The plan of an image of this size, in pixels."""
        config = self.get_hf_config()
        vision = config.vision_config
        return plan_tokens(
            (height, width), config.image_grid_pinpoints, vision.image_size, vision.patch_size, PruneSpec(ratio)
        )

    @property
    def max_position(self) -> int:
        """Positions a request may use. Beyond them the rotary embedding's table ends."""
        model_config = self.ctx.model_config
        trained = getattr(model_config.hf_text_config, "max_position_embeddings", None) or 0
        return max(int(trained), int(model_config.max_model_len))


class GPruneLlavaNextMultiModalProcessor(LlavaNextMultiModalProcessor[GPruneLlavaNextProcessingInfo]):
    """Changes against `vllm.model_executor.models.llava_next.LlavaNextMultiModalProcessor` (vLLM 0.32):

    - `apply` resolves the request's ratio against the settings and replaces it by its canonical form, which is part
      of the cache keys: absent, 0 and 0.0 hash alike. It adds the request's account of visual tokens to its result;
    - `get_dummy_inputs` asks for no pruning, so that vLLM profiles the worst case whatever the default is;
    - each image gets as many placeholders as its plan keeps, and the plan travels to the model as a field.
    """

    def get_dummy_inputs(self, *args: Any, **kwargs: Any) -> ProcessorInputs:
        return replace(super().get_dummy_inputs(*args, **kwargs), hf_processor_mm_kwargs={RATIO_KEY: 0})

    def apply(self, inputs: ProcessorInputs, timing_ctx: Any) -> Any:
        canonical = PlannedInputs(**{item.name: getattr(inputs, item.name) for item in fields(ProcessorInputs)})
        canonical.hf_processor_mm_kwargs = self._canonical(inputs)
        canonical.named = inputs.hf_processor_mm_kwargs.get(RATIO_KEY) is not None
        # Before anything is cached: vLLM must not take for sent to the engine what the engine never receives.
        if unpruned := self._unpruned_tokens(canonical):
            self._check_positions(len(inputs.prompt) + unpruned)
        result = super().apply(canonical, timing_ctx)
        return {**result, ACCOUNT_KEY: self._account(canonical, len(result["prompt_token_ids"]))}

    def _canonical(self, inputs: ProcessorInputs) -> dict[str, object]:
        """The request's processor arguments with its pruning in canonical form: nothing at all for no pruning."""
        kwargs = inputs.hf_processor_mm_kwargs
        requested = kwargs.get(RATIO_KEY)
        ratio = resolve_ratio(self.info.settings, requested)
        if isinstance(inputs.mm_data_items.get("image"), ImageEmbeddingItems):
            ratio = _ratio_of_embeddings(requested)
        pruning = {RATIO_KEY: ratio, SETTINGS_KEY: self.info.settings.fingerprint} if ratio else {}
        return _without_pruning(kwargs) | pruning

    def _unpruned_tokens(self, inputs: ProcessorInputs) -> int:
        """Tokens that pruned images would add to the prompt unpruned; images known by name only are left out."""
        items = inputs.mm_data_items.get("image")
        if not _ratio(inputs.hf_processor_mm_kwargs) or not isinstance(items, ImageProcessorItems):
            return 0
        sizes = [items.get_image_size(index) for index in range(len(items)) if items[index] is not None]
        return sum(self.info.plan(size.height, size.width, 0.0).input - 1 for size in sizes)

    def _check_positions(self, unpruned_length: int) -> None:
        """Refuse a prompt whose unpruned length exceeds the model's positions, where kept tokens keep theirs."""
        limit = self.info.max_position
        if self.info.settings.prune_positions == "original" and unpruned_length >= limit:
            raise PruneRefusal(
                f"The prompt's images keep their original positions when they are pruned, and its unpruned length of "
                f"{unpruned_length} tokens exceeds the model's {limit} positions. Send fewer or smaller images, or ask "
                "the operator to start with --prune-positions contiguous.",
                "positions",
            )

    def _account(self, inputs: PlannedInputs, prompt_length: int) -> VisualTokenAccount:
        """Count a prompt's visual tokens."""
        kept = sum(len(item.full) for item in inputs.placeholders)
        whole = sum(item.plan.input if item.plan else len(item.full) for item in inputs.placeholders)
        account = VisualTokenAccount(
            input=whole,
            kept=kept,
            ratio=_ratio(inputs.hf_processor_mm_kwargs),
            images=len(inputs.placeholders),
            source="request" if inputs.named else "default",
        )
        if self.info.settings.prune_positions == "contiguous" or kept == whole:
            return account
        unpruned_length = prompt_length + whole - kept
        self._check_positions(unpruned_length)
        return replace(account, output_limit=self.info.max_position - unpruned_length)

    def _cached_apply_hf_processor(self, inputs: ProcessorInputs, timing_ctx: Any) -> Any:
        result = super()._cached_apply_hf_processor(inputs, timing_ctx)
        if isinstance(inputs, PlannedInputs):
            for updates in result.prompt_updates.get("image", []):
                inputs.placeholders += [update.content for update in updates]
        return result

    def _call_hf_processor(self, hf_data: Mapping[str, object], hf_kwargs: Mapping[str, object]) -> BatchFeature:
        output = super()._call_hf_processor(hf_data, _without_pruning(hf_kwargs))
        ratio = _ratio(hf_kwargs)
        sizes = output["image_sizes"].tolist() if "image_sizes" in output else []
        rows = [
            self._plan_row(height, width, pixels, ratio)
            for (height, width), pixels in zip(sizes, output.get("pixel_values", []), strict=True)
        ]
        if rows:
            output[PLAN_FIELD] = torch.tensor(rows, dtype=torch.int64)  # [num_images, len(TokenPlan) + 1]
        return output

    def _plan_row(self, height: int, width: int, pixels: torch.Tensor, ratio: float) -> list[int]:
        """An image's plan and seed. Its crops may be padded with empty ones, to as many as another image's."""
        plan = self.info.plan(height, width, ratio)
        return [*astuple(plan), self._seed(pixels[: plan.crops], ratio)]

    def _seed(self, pixels: torch.Tensor, ratio: float) -> int:
        """Seed of an image's random selection, from its pixels: the same whenever it is encoded again."""
        if not ratio or self.info.settings.prune_method != "random":
            return 0
        return crc32(pixels.cpu().contiguous().view(torch.uint8).numpy().data)

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
        ratio = _ratio(hf_processor_mm_kwargs)

        def replacement(index: int) -> PlannedPlaceholders:
            images = mm_items.get_items("image", (ImageEmbeddingItems, ImageProcessorItems))
            if isinstance(images, ImageEmbeddingItems):
                return PlannedPlaceholders([image_token] * images.get_feature_size(index))
            size = images.get_image_size(index)
            plan = self.info.plan(size.height, size.width, ratio)
            return PlannedPlaceholders([image_token] * plan.kept, plan=plan)

        return [PromptReplacement(modality="image", target=[image_token], replacement=replacement)]


def _without_pruning(kwargs: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in kwargs.items() if key not in (RATIO_KEY, SETTINGS_KEY)}


def _ratio(kwargs: Mapping[str, object]) -> float:
    """The ratio in canonical processor arguments."""
    ratio = kwargs.get(RATIO_KEY, 0.0)
    assert isinstance(ratio, float)
    return ratio


def _ratio_of_embeddings(requested: object) -> float:
    """Precomputed embeddings are taken whole: a default does not apply to them, and an explicit ratio cannot."""
    if requested:
        raise PruneRefusal("prune_ratio cannot apply to precomputed image embeddings", "embeddings")
    return 0.0
