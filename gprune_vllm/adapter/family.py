"""The interface between a model family and the code that is the same for all."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gprune_vllm.adapter.attention import TowerAttention
from gprune_vllm.plan import PruneSpec, TokenPlan


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions of an image's visual tokens in its unpruned sequence, int64 and ascending.

    Attributes:
        groups: of the tokens of each group of the plan, `[tokens]` each.
        structural: of the tokens that always stay, `[structural]`.
    """

    groups: Sequence[Tensor]
    structural: Tensor


class Family(ABC):
    """Models that lay out their visual tokens alike.

    Attributes:
        groups: names of the groups of a plan, in order.
    """

    groups: ClassVar[tuple[str, ...]]

    @property
    def has_attention(self) -> bool:
        """Whether methods can be told what the tower attends to."""
        return type(self).attention is not Family.attention

    @abstractmethod
    def check(self, hf_config: Any) -> None:
        """Refuse a model whose tokens this family does not lay out.

        Raises:
            ValueError: the message says what to do.
        """

    @abstractmethod
    def plan(self, hf_config: Any, size: tuple[int, int], spec: PruneSpec) -> TokenPlan:
        """Plan the visual tokens of an image of `size`, `(height, width)` in pixels."""

    @abstractmethod
    def largest(self, hf_config: Any) -> TokenPlan:
        """Plan the image with the most visual tokens, unpruned, as vLLM profiles it."""

    @abstractmethod
    def layout(self, plan: TokenPlan, device: torch.device | None = None) -> Layout:
        """Lay out the unpruned sequence of an image."""

    @abstractmethod
    def projector(self, model: Any) -> nn.Module:
        """Return the module whose input tokens are scored on."""

    def image_token(self, hf_config: Any) -> int:
        """Return the id of the token that stands for an image in a prompt."""
        return int(hf_config.image_token_id)

    def units(self, item: Mapping[str, Any]) -> int:
        """Count the work of the tower for an image that the model gets as `item`, padding included."""
        return 1

    def pixels(self, outputs: Mapping[str, Any], index: int, plan: TokenPlan) -> Tensor:
        """Return the pixels of one image among the processor's outputs, without padding: they seed random draws."""
        pixels: Tensor = outputs["pixel_values"][index]
        return pixels

    def split(self, values: Tensor, plan: TokenPlan) -> list[Tensor]:
        """Split values of an image's tokens, `[tokens, ...]` as its tower or projector orders them, into groups."""
        return [values[positions] for positions in self.layout(plan, values.device).groups]

    def attention(self, model: Any) -> TowerAttention | None:
        """Watch what the tower attends to; None for a family whose tower cannot be watched."""
        return None
