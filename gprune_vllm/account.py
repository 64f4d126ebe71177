"""What pruning did to one prompt, told by the processor to the API layer."""

from dataclasses import dataclass
from typing import Literal

Source = Literal["request", "default", "adaptive"]
ACCOUNT_KEY = "visual_tokens"
"""Extra key of the processed input, read by the API layer and ignored by the engine."""


@dataclass(frozen=True, slots=True)
class VisualTokenAccount:
    """The visual tokens of one prompt.

    Attributes:
        input: tokens before pruning.
        kept: tokens after it.
        ratio: the ratio in force; under a budget, the fraction of patch tokens that it pruned, to four decimals.
        output_limit: tokens that may follow the prompt before the model's positions end, where kept tokens keep
            their original positions; None where the prompt's own length is all that counts.
        images: how many images the prompt has.
        source: where the ratio or the budget came from.
        method: how tokens are selected.
        budget: what was asked for each image in place of a ratio.
        patches: the tokens before pruning without newlines.
    """

    input: int
    kept: int
    ratio: float
    output_limit: int | None = None
    images: int = 1
    source: Source = "request"
    method: str = "gprune"
    budget: int | None = None
    patches: int = 0
