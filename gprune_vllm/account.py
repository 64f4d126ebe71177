"""Record of the pruning of one prompt, which travels with it from the processor through the API layer."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from gprune_vllm.defaults import METHOD

Source = Literal["request", "default", "adaptive", "canary"]
RECORD_KEY = "gprune"
"""Extra key of the processed input that holds a `PruneRecord`. The API layer reads it, and the engine ignores it."""


@dataclass(frozen=True, slots=True)
class VisualTokenAccount:
    """The visual tokens of one prompt.

    Attributes:
        input: tokens before pruning.
        kept: tokens after it.
        ratio: the ratio in force; under a budget, the fraction of patch tokens that it dropped, to four decimals.
        output_limit: tokens that may follow the prompt before the model's positions end, where kept tokens keep
            their original positions; None where the prompt's own length is all that counts.
        images: number of images in the prompt.
        videos: number of videos in the prompt.
        source: where the ratio or the budget came from.
        method: the selection method.
        budget: patch tokens to keep of each image, where a request set this in place of a ratio.
        patches: tokens before pruning without structural ones.
        fitting_ratio: of a prompt that is too long for the model, the smallest ratio in hundredths at which it fits;
            None where no ratio that the server allows helps.
        tenant: label of who sent it; empty where the operator lists no tenants.
    """

    input: int
    kept: int
    ratio: float
    output_limit: int | None = None
    images: int = 1
    source: Source = "request"
    method: str = METHOD
    budget: int | None = None
    patches: int = 0
    videos: int = 0
    fitting_ratio: float | None = None
    tenant: str = ""

    @property
    def media(self) -> int:
        """Number of images and videos."""
        return self.images + self.videos


@dataclass(frozen=True, slots=True)
class PruneRecord:
    """What the API layer knows about a prompt that the processor has seen.

    Attributes:
        account: its visual tokens.
        render: renders the prompt again, with the data of all its images, and with `unpruned=True` as if no token were
            pruned; None where it cannot be rendered again.
    """

    account: VisualTokenAccount
    render: Callable[..., Awaitable[Any]] | None = None

    @classmethod
    def of(cls, prompt: Any) -> "PruneRecord | None":
        """Return the record of a prompt; None if the processor has not seen it."""
        return prompt.get(RECORD_KEY) if isinstance(prompt, dict) else None
