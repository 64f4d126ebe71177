"""What measured questions cost the model that answered them."""

from dataclasses import dataclass, replace
from typing import Any

from evaluation.flops import ModelShape
from evaluation.journal import Answer
from evaluation.measurement import Measurement
from evaluation.sample import Sample
from gprune_vllm.families.anyres import plan_tokens
from gprune_vllm.plan import PruneSpec, TokenPlan

FASTV = "fastv"
LAYER = 2
"""Layers of the decoder that see all tokens under FastV."""


@dataclass(frozen=True, slots=True)
class CostModel:
    """The cost of questions to one model, by its HF configuration."""

    config: Any

    @classmethod
    def of(cls, checkpoint: str) -> "CostModel | None":
        """Read the configuration of the checkpoint of this folder or name.

        Returns:
            None where it is not at hand, or is not a LLaVA-NeXT's: the operations of other towers are not counted.
        """
        from transformers import AutoConfig

        try:
            config = AutoConfig.from_pretrained(checkpoint)
        except OSError:
            return None
        return cls(config) if config.model_type == "llava_next" else None

    def plan(self, size: tuple[int, int], ratio: float) -> TokenPlan:
        """The visual tokens of a picture of `size`, height and width in pixels."""
        vision = self.config.vision_config
        spec = PruneSpec(ratio)
        return plan_tokens(size, self.config.image_grid_pinpoints, vision.image_size, vision.patch_size, spec)

    def flops(self, sample: Sample, answer: Answer) -> int:
        """Floating-point operations of a question up to its first answered token."""
        shape, plan = ModelShape.of(self.config), self.plan(sample.picture.size, answer.ratio)
        other = answer.prompt_tokens - answer.visual_tokens
        if answer.method == FASTV:
            return fastv_flops(shape, plan, answer.visual_tokens, other)
        return shape.true_flops(answer.visual_tokens, other, plan.units, plan.structural)

    def mean_flops(self, measurement: Measurement) -> float:
        """The mean over the questions of a measurement."""
        costs = [self.flops(*pair) for pair in zip(measurement.samples, measurement.answers, strict=True)]
        return sum(costs) / len(costs)


def fastv_flops(shape: ModelShape, plan: TokenPlan, visual: int, other: int) -> int:
    """Floating-point operations where the first layers of the decoder see all tokens and only the others are pruned."""
    unpruned = shape.true_flops(plan.input, other, plan.units, plan.structural)
    later = replace(shape.decoder, layers=shape.decoder.layers - LAYER)
    return unpruned - later.prefill_flops(plan.input + other) + later.prefill_flops(visual + other)
