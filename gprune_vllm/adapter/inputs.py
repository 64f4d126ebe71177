"""One prompt's images on their way through the multimodal processor, with their plans."""

from dataclasses import dataclass, field
from typing import Any, Self

from vllm.multimodal.parse import ImageProcessorItems
from vllm.multimodal.processing import PromptUpdateDetails
from vllm.multimodal.processing.inputs import ProcessorInputs

from gprune_vllm.account import Source, VisualTokenAccount
from gprune_vllm.plan import PruneSpec, TokenPlan, effective_ratio


@dataclass
class PlannedPlaceholders(PromptUpdateDetails):
    """Placeholder tokens of one image, with the plan they were counted by (None for precomputed embeddings).

    Changes against `vllm.multimodal.processing.PromptUpdateDetails` (vLLM 0.32): carries the plan, so that it can
    still be read where vLLM finds the image in its cache.
    """

    plan: TokenPlan | None = None

    @classmethod
    def of(cls, whole: PromptUpdateDetails, plan: TokenPlan | None) -> Self:
        """Shorten the placeholders of the whole image to those that its plan keeps. They are all alike."""
        dropped = plan.input - plan.kept if plan is not None else 0
        return cls(whole.full[: len(whole.full) - dropped], whole.is_embed, plan)


@dataclass
class PlannedInputs(ProcessorInputs):
    """Inputs of one call of the processor, with the resolved request and the plans of its images.

    Changes against `vllm.multimodal.processing.inputs.ProcessorInputs` (vLLM 0.32): has a place for these.

    Attributes:
        plans: of the images; None for one that vLLM's cache knows by its name only.
        placeholders: of the images, once they are processed.
    """

    plans: list[TokenPlan | None] = field(default_factory=list)
    placeholders: list[PlannedPlaceholders] = field(default_factory=list)
    spec: PruneSpec = field(default_factory=PruneSpec)
    source: Source = "default"


def sizes_of(inputs: ProcessorInputs) -> list[Any]:
    """List the sizes of images, None for one that vLLM's cache knows by its name only. Embeddings have no size."""
    items = inputs.mm_data_items.get("image")
    if not isinstance(items, ImageProcessorItems):
        return []
    return [None if items[index] is None else items.get_image_size(index) for index in range(len(items))]


def account_of(inputs: PlannedInputs) -> VisualTokenAccount:
    """Count the visual tokens of a prompt whose images are planned."""
    plans = [item.plan for item in inputs.placeholders if item.plan is not None]
    patches = sum(plan.patches for plan in plans)
    ratio = inputs.spec.ratio
    if inputs.spec.budget is not None and patches:
        ratio = effective_ratio(sum(plan.patches_kept for plan in plans), patches)
    return VisualTokenAccount(
        input=sum(item.plan.input if item.plan else len(item.full) for item in inputs.placeholders),
        kept=sum(len(item.full) for item in inputs.placeholders),
        ratio=ratio,
        images=len(inputs.placeholders),
        source=inputs.source,
        method=inputs.spec.method,
        budget=inputs.spec.budget,
        patches=patches,
    )
