"""Pruning for models under M-RoPE, whose tokens have three positions: time, row and column."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, cast

import torch
from torch import Tensor
from vllm.model_executor.models.interfaces import SupportsMRoPE
from vllm.multimodal.inputs import MultiModalFeatureSpec

from gprune_vllm.adapter.family import Layout
from gprune_vllm.adapter.inputs import planned_in
from gprune_vllm.adapter.model import PruningModel
from gprune_vllm.adapter.positions import embeds_of, run_ends
from gprune_vllm.plan import TokenPlan


class MRopePruningModel(PruningModel):
    """Changes against `PruningModel`:

    - `get_mrope_input_positions` asks the base class for the positions of the unpruned prompt and drops those of
      dropped tokens. Which tokens these are is not known yet: each kept token gets the position of the first token of
      its part, such as a frame, and its row and column in the part travel with its embedding;
    - with contiguous positions, the kept tokens of an image follow one another like words.

    The base class is a `SupportsMRoPE` of its own, and its visual tokens are laid out row by row.
    """

    axes: ClassVar[int] = 3

    def get_mrope_input_positions(
        self, input_tokens: list[int], mm_features: list[MultiModalFeatureSpec]
    ) -> tuple[Tensor, int]:
        features = sorted(mm_features, key=lambda feature: feature.mm_position.offset)
        contiguous = self.offsets is None
        whole = [UnprunedSection.of(input_tokens, feature, contiguous) for feature in features]
        upstream = cast(SupportsMRoPE, super(PruningModel, self))
        if all(section.plan is None for section in whole):
            unchanged: tuple[Tensor, int] = upstream.get_mrope_input_positions(input_tokens, mm_features)
            return unchanged
        tokens, moved, stays = unpruned_prompt(input_tokens, features, whole)
        positions, _ = upstream.get_mrope_input_positions(tokens, moved)
        if contiguous:
            positions = closed_up(positions, moved, whole)[:, stays]
        end = int(positions.max()) + 1
        return positions if contiguous else positions[:, stays], end - len(input_tokens)

    def offsets_of(self, positions: Tensor, layout: Layout, plan: TokenPlan) -> Tensor:
        """Compute the place of each kept token in its part: 0, its row and its column."""
        offsets = positions.new_zeros(plan.input, self.axes)
        for group, places in zip(plan.groups, layout.groups, strict=True):
            token = torch.arange(group.tokens, device=positions.device)
            place = torch.stack((torch.zeros_like(token), token // group.columns, token % group.columns), dim=-1)
            offsets[places] = place.repeat(group.copies, 1)  # [copies * tokens, 3]
        return offsets[positions]


@dataclass(frozen=True, slots=True)
class UnprunedSection:
    """Placeholders of one image or video as they were before pruning.

    Attributes:
        tokens: token ids.
        embeds: whether a token is a placeholder, and not text between, `[tokens]` bool.
        stays: index of each token of the pruned section, `[num_tokens]` int64. Of kept tokens it is the first of their
            part, or with contiguous positions the first ones of their run.
        plan: None where no token is dropped.
    """

    tokens: list[int]
    embeds: Tensor
    stays: Tensor
    plan: TokenPlan | None

    @classmethod
    def of(cls, prompt: Sequence[int], feature: MultiModalFeatureSpec, contiguous: bool) -> "UnprunedSection":
        """Undo `gprune_vllm.adapter.inputs.PlannedPlaceholders.of`."""
        place, planned = feature.mm_position, planned_in(feature.data)
        tokens = torch.tensor(prompt[place.offset : place.offset + place.length])
        embeds = embeds_of(place)
        if planned is None or not planned.plan.pruned:
            return cls(tokens.tolist(), embeds, torch.arange(place.length), None)
        plan, ends = planned.plan, run_ends(embeds)
        repeats = torch.ones_like(tokens)
        repeats[ends] += (plan.input - plan.kept) // int(ends.sum())
        whole = embeds.repeat_interleave(repeats)
        stays = repeats.cumsum(0) - repeats
        if not contiguous:
            stays[embeds] = whole.nonzero().flatten()[part_firsts(plan)]
        return cls(tokens.repeat_interleave(repeats).tolist(), whole, stays, plan)


def part_firsts(plan: TokenPlan) -> Tensor:
    """Return for each kept token the first token of its part, `[kept]` int64, in the unpruned sequence.

    Parts are the copies of the groups, one after the other.
    """
    firsts, place = [], 0
    for group in plan.groups:
        ends = place + group.tokens * torch.arange(1, group.copies + 1)
        firsts.append((ends - group.tokens).repeat_interleave(group.kept))
        place += group.tokens * group.copies
    return torch.cat(firsts)


def unpruned_prompt(
    prompt: Sequence[int], features: Sequence[MultiModalFeatureSpec], whole: Sequence[UnprunedSection]
) -> tuple[list[int], list[MultiModalFeatureSpec], Tensor]:
    """Put the unpruned sections into the prompt.

    Returns:
        Its token ids, the features with their places in it, and the indices of the tokens that stay.
    """
    tokens: list[int] = []
    moved, stays, last = [], [], 0
    for feature, section in zip(features, whole, strict=True):
        place = feature.mm_position
        stays += [len(tokens) + torch.arange(place.offset - last)]
        tokens += prompt[last : place.offset]
        there = replace(place, offset=len(tokens), length=len(section.tokens), is_embed=section.embeds)
        moved.append(replace(feature, mm_position=there))
        stays += [len(tokens) + section.stays]
        tokens += section.tokens
        last = place.offset + place.length
    stays += [len(tokens) + torch.arange(len(prompt) - last)]
    return [*tokens, *prompt[last:]], moved, torch.cat(stays)


def closed_up(positions: Tensor, moved: Sequence[MultiModalFeatureSpec], whole: Sequence[UnprunedSection]) -> Tensor:
    """Give the tokens of each run of a pruned image one position after the other, and move what follows.

    Args:
        positions: `[3, num_tokens]`, of the unpruned prompt.
    """
    closed, shift, last = positions.clone(), 0, 0
    for feature, section in zip(moved, whole, strict=True):
        if section.plan is None:
            continue
        ends = feature.mm_position.offset + 1 + run_ends(section.embeds).nonzero().flatten()
        size, kept = (count // len(ends) for count in (section.plan.input, section.plan.kept))
        for start in (ends - size).tolist():
            closed[:, last:start] -= shift
            run = positions[:, start : start + size]
            first = int(run.min()) - shift
            closed[:, start : start + size] = first + torch.arange(size)
            shift += int(run.max() - run.min()) + 1 - kept
            last = start + size
    closed[:, last:] -= shift
    return closed
