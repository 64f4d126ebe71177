"""What is refused before a prompt is processed: what vLLM would fail on, and what the server does not allow.

`info` is a `PruningInfo` throughout.
"""

from typing import Any

from vllm.exceptions import VLLMValidationError

from gprune_vllm.adapter.inputs import PlannedInputs, count_places
from gprune_vllm.adapter.refusal import BUDGET_KEY, RATIO_KEY, PruneRefusal
from gprune_vllm.plan import PruneSpec, TokenPlan


def check_media(info: Any, inputs: PlannedInputs) -> None:
    """Refuse images without a place in the prompt, budgets below the limit, and prompts with too many positions."""
    _check_places(info, inputs)
    for plan in inputs.known_plans:
        check_budget(plan, inputs.spec, inputs.largest_ratio)
    if any(plan.pruned for plan in inputs.known_plans):
        check_positions(info, inputs, len(inputs.prompt) + sum(plan.span - 1 for plan in inputs.known_plans))


def _check_places(info: Any, inputs: PlannedInputs) -> None:
    """Refuse a prompt that has fewer places for images than images. vLLM would fail on it."""
    if isinstance(inputs.prompt, str):
        return
    for modality, items in inputs.mm_data_items.items():
        places = count_places(inputs.prompt, info.family.placeholder(info, modality))
        if places < len(items):
            raise VLLMValidationError(
                f"The prompt has {len(items)} {modality}s, but places for {places}: truncate_prompt_tokens must "
                "not cut them off.",
                parameter="truncate_prompt_tokens",
            )


def check_budget(plan: TokenPlan, spec: PruneSpec, largest_ratio: float | None) -> None:
    """Refuse a budget that keeps fewer tokens of an image than the largest ratio does."""
    if spec.budget is None or largest_ratio is None:
        return
    at_most = PruneSpec(largest_ratio)
    least = sum(at_most.count_kept(group.tokens) * group.copies for group in plan.groups)
    if plan.patches_kept < least:
        raise PruneRefusal(
            f"visual_token_budget keeps {plan.patches_kept} of an image's {plan.patches} patch tokens. This "
            f"server's limit of {largest_ratio} (--max-prune-ratio) keeps at least {least}.",
            BUDGET_KEY,
            "above_limit",
        )


def check_positions(info: Any, inputs: PlannedInputs, unpruned_length: int) -> None:
    """Refuse a prompt whose unpruned length exceeds the model's positions, where kept tokens keep theirs."""
    limit = info.max_position
    if info.settings.prune_positions == "original" and unpruned_length >= limit:
        raise PruneRefusal(
            f"The prompt's images keep their original positions when they are pruned, and its unpruned length of "
            f"{unpruned_length} tokens exceeds the model's {limit} positions. Send fewer or smaller images, or ask "
            "the operator to start with --prune-positions contiguous.",
            RATIO_KEY if inputs.spec.budget is None else BUDGET_KEY,
            "positions",
        )
