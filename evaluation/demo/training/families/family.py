"""What the training of a demo model has to know of its architecture."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import PreTrainedModel

from evaluation.demo.training.labels import View
from evaluation.scenes.scene import Scene

Pixels = dict[str, Tensor]
"""`pixels`, as the tower reads them, of all pictures one after the other, and `grids`, a row for each picture."""


@dataclass(frozen=True, slots=True)
class Visual:
    """What the language model reads of pictures of one size.

    Attributes:
        embeddings: `[scenes, visual_tokens, hidden_size]`.
        levels: as many, to be added to what comes out of the first layers, of one layer each.
    """

    embeddings: Tensor
    levels: tuple[Tensor, ...] = ()


class Family(ABC):
    """One architecture.

    Args:
        texts: whose words the tokenizer is to know.

    Attributes:
        tokenizer: of the demo model.
        before, after: token ids right before and right after a picture's.
    """

    tokenizer: Tokenizer
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()

    @abstractmethod
    def __init__(self, texts: Sequence[str]) -> None: ...

    @abstractmethod
    def build_model(self) -> PreTrainedModel:
        """Build the demo model with fresh weights, in float32. Eager attention trains fastest on a CPU."""

    @abstractmethod
    def tower_of(self, model: PreTrainedModel) -> nn.Module:
        """Return the vision tower."""

    @abstractmethod
    def freeze_tower(self, model: PreTrainedModel) -> None:
        """Let everything learn but what the first stage has trained."""

    @abstractmethod
    def pixels(self, pictures: Sequence[Image.Image]) -> Pixels:
        """Process pictures as the served model does."""

    @abstractmethod
    def views(self, scene: Scene, grid: Tensor) -> list[View]:
        """Return what the tower is shown of a scene; `grid` is its row of `Pixels`."""

    @abstractmethod
    def features(self, tower: nn.Module, batch: Pixels) -> Tensor:
        """Return what the projector reads, `[patches, hidden_size]`, in the order of `views`."""

    @abstractmethod
    def visual(self, model: PreTrainedModel, batch: Pixels) -> Visual:
        """Return what the language model reads."""

    @abstractmethod
    def positions(self, first: int, visual_tokens: int, batch: Pixels) -> tuple[Tensor, int]:
        """Return the positions of a prompt up to its picture's end, and that of the token after it.

        Args:
            first: tokens before the picture's.
            visual_tokens: of the picture.
            batch: of pictures of one size.

        Returns:
            int64 `[axes, first + visual_tokens]`, and a position.
        """

    @abstractmethod
    def states(self, model: PreTrainedModel, visual: Visual, first: int, **inputs: Any) -> tuple[Tensor, ...]:
        """Run the language model.

        Args:
            model: the demo model.
            visual: what `inputs_embeds` have of the picture, from token `first`.
            first: tokens before the picture's.
            inputs: `inputs_embeds` `[scenes, length, hidden_size]`, an additive `attention_mask` `[scenes, 1, length,
                length]` and `position_ids` `[axes, scenes, length]`.

        Returns:
            `[scenes, length, hidden_size]` before the first layer, and after each.
        """

    @abstractmethod
    def save(self, model: PreTrainedModel, folder: Path) -> None:
        """Write the model as a checkpoint that stock vLLM and Transformers load."""
