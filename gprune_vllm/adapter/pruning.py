"""Select the tokens of one image that stay, and lay them out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gprune_vllm.adapter.family import Layout
from gprune_vllm.methods.registry import select_tokens
from gprune_vllm.methods.selection import Selection
from gprune_vllm.plan import TokenPlan


@dataclass(frozen=True, slots=True)
class KeptTokens:
    """Tokens of one image that stay, group after group.

    Attributes:
        features: `[patches_kept, hidden_size]`.
        positions: `[patches_kept]` int64, in the unpruned sequence of visual tokens, ascending within a group.
    """

    features: Tensor
    positions: Tensor

    @classmethod
    def of(cls, selections: Sequence[Selection], layout: Layout) -> "KeptTokens":
        """Put the selections of all groups together."""
        positions = [places[each.index] for places, each in zip(layout.groups, selections, strict=True)]
        return cls(torch.cat([each.features for each in selections]), torch.cat(positions))


def select_groups(
    features: Sequence[Tensor], plan: TokenPlan, method: str, seen: Mapping[str, Sequence[Tensor]], **options: Any
) -> list[Selection]:
    """Select the tokens of each group that stay.

    Args:
        features: of each group, `[tokens, hidden_size]`.
        method: a registered method.
        seen: options that have a value for each token, for each group `[tokens, ...]`.
        options: further options of the method.
    """
    selections = []
    for place, (tokens, group) in enumerate(zip(features, plan.groups, strict=True)):
        copies = (group.copies, group.tokens)
        of_group = {name: values[place].unflatten(0, copies) for name, values in seen.items()}
        tokens = tokens.unflatten(0, copies)  # [copies, tokens, hidden_size]
        selections.append(_flat(select_tokens(tokens, group.kept, method, **of_group, **options), group.tokens))
    return selections


def _flat(selection: Selection, tokens: int) -> Selection:
    """Join the selections of the copies of a group, which have `tokens` tokens each."""
    first = tokens * torch.arange(len(selection.index), device=selection.index.device).unsqueeze(1)  # [copies, 1]
    return Selection(selection.features.flatten(0, 1), (selection.index + first).flatten())


def lay_out(kept: KeptTokens, structural: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Put structural tokens between those that stay.

    Args:
        kept: embeddings of the tokens that stay.
        structural: `[structural, hidden_size]`, embeddings of the structural tokens.

    Returns:
        Embeddings `[kept, hidden_size]` in order, and for each the number of tokens dropped before it, `[kept]` int64.
    """
    positions, order = torch.cat((kept.positions, layout.structural)).sort()
    embeddings = torch.cat((kept.features, structural.to(kept.features)))[order]
    return embeddings, positions - torch.arange(len(positions), device=positions.device)
