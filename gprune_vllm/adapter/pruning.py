"""Select the tokens of one image that stay, and lay them out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gprune_vllm.adapter.family import Layout
from gprune_vllm.methods.registry import select_tokens
from gprune_vllm.methods.selection import Selection
from gprune_vllm.plan import Group, TokenPlan

BAND = 4096
"""Tokens among which a selection chooses at most. Their similarities, 64 MiB of float32, grow with their square."""
PAIRS = BAND**2
"""Similarities of one matrix, at most."""


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
        bands = [_select_bands(*part, group, method, **options) for part in _parts(tokens, of_group)]
        selections.append(_flat(bands, group.tokens))
    return selections


def _parts(tokens: Tensor, of_group: Mapping[str, Tensor]) -> Iterator[tuple[Tensor, Mapping[str, Tensor]]]:
    """Divide the copies of a group so that the similarities of each part fit into memory."""
    at_once = max(1, PAIRS // max(1, min(tokens.shape[1], BAND)) ** 2)
    for first in range(0, len(tokens), at_once):
        part = slice(first, first + at_once)
        yield tokens[part], {name: values[part] for name, values in of_group.items()}


def _select_bands(
    tokens: Tensor, of_group: Mapping[str, Tensor], group: Group, method: str, **options: Any
) -> Selection:
    """Select among copies `[copies, tokens, hidden_size]` of a group, band after band."""
    selections = []
    for first, size, kept in bands_of(group):
        band = slice(first, first + size)
        of_band = {name: values[:, band] for name, values in of_group.items()}
        shape = size // max(1, group.columns), group.columns  # a band is whole rows
        chosen = select_tokens(tokens[:, band], kept, method, shape=shape, **of_band, **options)
        selections.append(Selection(chosen.features, chosen.index + first))
    features, index = ([getattr(each, name) for each in selections] for name in ("features", "index"))
    return Selection(torch.cat(features, dim=1), torch.cat(index, dim=1))


def bands_of(group: Group) -> list[tuple[int, int, int]]:
    """Divide a group into bands of rows of at most `BAND` tokens, or of one row, as even as can be.

    Returns:
        Of each band its first token, its tokens and how many of them stay, in proportion to its tokens.
    """
    count = min(group.rows, -(-group.tokens // BAND)) or 1
    ends = [group.rows * (band + 1) // count * group.columns for band in range(count)]
    kept = [(2 * group.kept * end + group.tokens) // (2 * group.tokens) if end else 0 for end in ends]  # rounded
    firsts, before = [0, *ends[:-1]], [0, *kept[:-1]]
    return [(first, end - first, now - then) for first, end, now, then in zip(firsts, ends, kept, before, strict=True)]


def _flat(selections: Sequence[Selection], tokens: int) -> Selection:
    """Join selections of copies of a group, which have `tokens` tokens each."""
    index = torch.cat([each.index for each in selections])  # [copies, kept]
    first = tokens * torch.arange(len(index), device=index.device).unsqueeze(1)  # [copies, 1]
    return Selection(torch.cat([each.features for each in selections]).flatten(0, 1), (index + first).flatten())


def lay_out(kept: KeptTokens, structural: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Put structural tokens between those that stay.

    Args:
        kept: embeddings of the tokens that stay.
        structural: `[structural, hidden_size]`, embeddings of the structural tokens.

    Returns:
        Embeddings `[kept, hidden_size]` in order, and the position of each in the unpruned sequence, `[kept]` int64.
    """
    positions, order = torch.cat((kept.positions, layout.structural)).sort()
    embeddings = torch.cat((kept.features, structural.to(kept.features)))[order]
    return embeddings, positions
