"""Prompts of Qwen-VL models with images and videos, unpruned and pruned, and vLLM's own positions of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor
from vllm.model_executor.models.qwen2_vl import Qwen2VLForConditionalGeneration
from vllm.model_executor.models.qwen3_vl import Qwen3VLForConditionalGeneration
from vllm.multimodal.inputs import (
    MultiModalBatchedField,
    MultiModalFeatureSpec,
    MultiModalFieldElem,
    MultiModalKwargsItem,
    PlaceholderRange,
)
from vllm.multimodal.processing import PromptUpdateDetails

from gprune_vllm.adapter.inputs import PLAN_FIELDS, PlannedPlaceholders
from gprune_vllm.adapter.mrope import MRopePruningModel
from gprune_vllm.plan import Group, PlannedImage, TokenPlan

START, END, IMAGE, VIDEO, TEXT = 1, 2, 3, 4, 40
CONFIG = SimpleNamespace(
    vision_start_token_id=START,
    vision_end_token_id=END,
    image_token_id=IMAGE,
    video_token_id=VIDEO,
    vision_config=SimpleNamespace(spatial_merge_size=2, tokens_per_second=2),
)


class Together:
    """vLLM's positions where a video is one run of placeholders."""

    config = CONFIG
    get_mrope_input_positions = Qwen2VLForConditionalGeneration.get_mrope_input_positions
    iter_mm_grid_thw = Qwen2VLForConditionalGeneration.iter_mm_grid_thw


class Apart:
    """vLLM's positions where text is between the frames of a video."""

    config = CONFIG
    get_mrope_input_positions = Qwen3VLForConditionalGeneration.get_mrope_input_positions
    _get_mrope_input_positions = staticmethod(Qwen3VLForConditionalGeneration._get_mrope_input_positions)


class PruningTogether(MRopePruningModel, Together):  # type: ignore[misc]
    """Our model around the one, without its modules."""

    def __init__(self, contiguous: bool = False) -> None:
        self.offsets = None if contiguous else SimpleNamespace()  # type: ignore[assignment]


class PruningApart(MRopePruningModel, Apart):  # type: ignore[misc]
    """Our model around the other, without its modules."""

    def __init__(self, contiguous: bool = False) -> None:
        self.offsets = None if contiguous else SimpleNamespace()  # type: ignore[assignment]


MODELS: dict[str, Any] = {"one run": (Together, PruningTogether), "a run a frame": (Apart, PruningApart)}
"""vLLM's model and ours, by how a video lies in the prompt."""


@dataclass(frozen=True)
class Media:
    """An image or a video.

    Attributes:
        text: tokens before it.
        kept: tokens that stay of each frame; None for precomputed embeddings, which have no plan.
        seconds: for how long a frame is shown.
    """

    modality: str
    text: int
    rows: int
    columns: int
    frames: int
    kept: int | None
    seconds: float

    @property
    def tokens(self) -> int:
        """Tokens of a frame."""
        return self.rows * self.columns

    @property
    def plan(self) -> TokenPlan | None:
        if self.kept is None:
            return None
        group = Group(self.rows, self.columns, self.kept, self.frames)
        return TokenPlan((group,), structural=0, span=group.tokens, units=1)

    @property
    def pruned(self) -> bool:
        return self.kept is not None and self.kept < self.tokens

    def whole(self, apart: bool) -> PromptUpdateDetails:
        """Placeholders before pruning, as vLLM makes them."""
        token = IMAGE if self.modality == "image" else VIDEO
        if self.modality == "image" or not apart:
            return PromptUpdateDetails.from_seq([token] * self.tokens * self.frames)
        frames = ([TEXT + frame, TEXT, START, *[token] * self.tokens, END] for frame in range(self.frames))
        return PromptUpdateDetails.select_token_id([each for frame in frames for each in frame], token)

    def item(self) -> MultiModalKwargsItem:
        """What the model gets of it, its pixels left out."""
        values: dict[str, Any] = {
            f"{self.modality}_grid_thw": torch.tensor([self.frames, 2 * self.rows, 2 * self.columns])
        }
        if self.modality == "video":
            values["second_per_grid_ts"] = torch.tensor(self.seconds)
        if self.plan is not None:
            values[PLAN_FIELDS[self.modality]] = torch.tensor(PlannedImage(self.plan).row())
        return MultiModalKwargsItem(
            {name: MultiModalFieldElem(data=value, field=MultiModalBatchedField()) for name, value in values.items()}
        )

    def chosen(self, seed: int) -> Tensor:
        """Any tokens that may stay, as places in the unpruned sequence."""
        generator = torch.Generator().manual_seed(seed)
        kept = self.tokens if self.kept is None else self.kept
        frames = [torch.randperm(self.tokens, generator=generator)[:kept].sort().values for _ in range(self.frames)]
        return torch.cat([frame * self.tokens + index for frame, index in enumerate(frames)])


@dataclass(frozen=True)
class Prompt:
    """Images and videos among text, with `text` tokens at the end."""

    media: Sequence[Media]
    text: int
    apart: bool

    def lay_out(self, pruned: bool) -> tuple[list[int], list[MultiModalFeatureSpec]]:
        """Token ids, and the features in the order of the prompt."""
        tokens: list[int] = []
        features = []
        for each in self.media:
            tokens += [TEXT + place % 7 for place in range(each.text)] + [START]
            content = PlannedPlaceholders.of(each.whole(self.apart), each.plan if pruned else None)
            mask = None if content.is_embed is None else content.is_embed(content.full)
            place = PlaceholderRange(len(tokens), len(content.full), mask)
            features.append(MultiModalFeatureSpec(each.item(), each.modality, str(len(features)), place))
            tokens += [*content.full, END]
        return tokens + [TEXT] * self.text, features


@st.composite
def media(draw: st.DrawFn) -> Media:
    modality = draw(st.sampled_from(["image", "video"]))
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    frames = draw(st.integers(1, 4)) if modality == "video" else 1
    kept = draw(st.none() | st.integers(1, rows * columns))
    seconds = draw(st.sampled_from([1.0, 0.5, 0.25, 2.0, 1.7]))
    return Media(modality, draw(st.integers(0, 3)), rows, columns, frames, kept, seconds)


def prompts(apart: bool) -> st.SearchStrategy[Prompt]:
    return st.builds(Prompt, st.lists(media(), min_size=1, max_size=4), st.integers(0, 3), st.just(apart))
