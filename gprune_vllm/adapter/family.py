"""The interface between a model family and the code that is the same for all."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gprune_vllm.adapter.attention import TowerAttention
from gprune_vllm.defaults import THRESHOLD
from gprune_vllm.plan import MediaSize, PlannedImage, PruneSpec, TokenPlan


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions of an image's visual tokens in its unpruned sequence, int64.

    Attributes:
        groups: of the tokens of each group of the plan, `[tokens]` each, row by row.
        structural: of the tokens that always stay, `[structural]`.
        runs: equal parts of the sequence between which the prompt has text, such as the timestamps of a video.
    """

    groups: Sequence[Tensor]
    structural: Tensor
    runs: int = 1


class Family(ABC):
    """Models that lay out their visual tokens alike.

    Attributes:
        groups: names of the groups of a plan, in order.
        modalities: what the family prunes, "image" first.
        threshold: similarity that joins two tokens, where the operator sets no `--prune-threshold`.
        scored_in_tower: whether the module whose input is scored belongs to what encoder data parallelism divides.
    """

    groups: ClassVar[tuple[str, ...]]
    modalities: ClassVar[tuple[str, ...]] = ("image",)
    threshold: ClassVar[float] = THRESHOLD
    scored_in_tower: ClassVar[bool] = False

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
    def plan(self, hf_config: Any, size: MediaSize, spec: PruneSpec) -> TokenPlan:
        """Plan the visual tokens of an image or a video, of the size that `resized` returns."""

    @abstractmethod
    def largest(self, info: Any, modality: str) -> TokenPlan:
        """Plan what has the most visual tokens, unpruned, as vLLM profiles it.

        Args:
            info: vLLM's processing information of the model, a `PruningInfo`.
            modality: one of `modalities`.
        """

    @abstractmethod
    def layout(self, plan: TokenPlan, device: torch.device | None = None) -> Layout:
        """Lay out the unpruned sequence of an image or a video."""

    @abstractmethod
    def projector(self, model: Any) -> tuple[nn.Module, str]:
        """Name the module whose input tokens are scored on: its parent and the parent's attribute."""

    def resized(self, info: Any, modality: str, size: MediaSize, kwargs: Mapping[str, object]) -> MediaSize:
        """Return the size that counts: by default that of the image itself.

        Args:
            info: vLLM's processing information of the model, a `PruningInfo`.
            modality: one of `modalities`.
            size: of what the client sent.
            kwargs: the request's processor arguments.

        Raises:
            ValueError: the processor takes nothing of this size.
        """
        return size

    def processed(self, hf_config: Any, modality: str, outputs: Mapping[str, Any], index: int) -> MediaSize | None:
        """Return the size that counts from the processor's outputs; None where they do not tell."""
        return None

    def placeholder(self, info: Any, modality: str) -> list[int]:
        """Return the ids of the tokens that stand for an image or a video in a prompt.

        Args:
            info: vLLM's processing information of the model, a `PruningInfo`.
            modality: one of `modalities`.
        """
        return [int(getattr(info.config, f"{modality}_token_id"))]

    def units(self, item: Mapping[str, Any]) -> int:
        """Count the work of the tower for what the model gets as `item`, padding included."""
        return 1

    def pixels(self, modality: str, outputs: Mapping[str, Any], index: int, plan: TokenPlan) -> Tensor:
        """Return the pixels of one image among the processor's outputs, without padding: their digest names it."""
        pixels: Tensor = outputs["pixel_values"][index]
        return pixels

    def features(self, model: Any, caught: Sequence[Tensor], planned: Sequence[PlannedImage]) -> Sequence[Tensor]:
        """Divide the projector's input into what the tokens of each image are scored on, `[tokens, size]` each.

        Args:
            caught: of each call of the projector, `[..., size]`: the tokens of all images one after the other.
        """
        tokens = torch.cat([each.flatten(0, -2) for each in caught])
        return list(tokens.split([image.plan.input for image in planned]))

    def split(self, values: Tensor, plan: TokenPlan) -> list[Tensor]:
        """Split values of an image's tokens, `[tokens, ...]` as its tower or projector orders them, into groups."""
        return [values[positions] for positions in self.layout(plan, values.device).groups]

    def attention(self, model: Any) -> TowerAttention | None:
        """Watch what the tower attends to; None for a family whose tower cannot be watched."""
        return None
