"""Count the visual tokens of an image that stay. The one place that counts; pure Python integers."""

import reprlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from math import floor
from numbers import Real
from typing import Any, NamedTuple

from gprune_vllm.defaults import METHOD


class SpecError(ValueError):
    """A request for pruning that cannot be met.

    Attributes:
        field: the request's field that is wrong.
        reason: why, in a word that metrics count.
    """

    def __init__(self, message: str, field: str, reason: str) -> None:
        super().__init__(message)
        self.field, self.reason = field, reason


@dataclass(frozen=True, slots=True)
class PruneSpec:
    """Pruning that a request asks for: a ratio or a budget, and a method.

    Attributes:
        ratio: fraction of the patch tokens to prune, in [0, 1).
        budget: patch tokens to keep of each image, in place of a ratio.
        method: how the tokens are selected. It has no say in how many.

    Raises:
        SpecError: the ratio is not a number in [0, 1), the budget is not a positive integer, or both are given.
    """

    ratio: float = 0.0
    budget: int | None = None
    method: str = METHOD

    def __post_init__(self) -> None:
        object.__setattr__(self, "ratio", _checked_ratio(self.ratio))
        if self.budget is not None:
            _check_budget(self.budget)
            if self.ratio:
                raise SpecError(
                    "visual_token_budget and prune_ratio exclude each other. Send one of them.",
                    "visual_token_budget",
                    "ratio_and_budget",
                )

    @property
    def prunes(self) -> bool:
        """Whether any image may lose tokens."""
        return self.budget is not None or self.ratio > 0

    def split(self, *sizes: int) -> tuple[int, ...]:
        """Count the tokens that stay of groups of these sizes.

        A budget is shared in proportion, to the nearest token. Each group that is not empty keeps at least one token.
        """
        if self.budget is None:
            return tuple(self.count_kept(size) for size in sizes)
        kept, tokens = [], sum(sizes)
        budget = min(self.budget, tokens)
        for size in sizes:
            share = (2 * budget * size + tokens) // (2 * tokens) if size else 0  # budget * size / tokens, rounded
            kept.append(min(size, max(1, share)))
            budget, tokens = max(0, budget - kept[-1]), tokens - size
        return tuple(kept)

    def count_kept(self, num_tokens: int) -> int:
        """Count the tokens that the ratio leaves: the floor of `(1 - ratio) * num_tokens`, at least one.

        The product is rounded to 6 decimals first, so that 0.7 of 10 tokens leaves 3 and not 2.
        """
        return min(num_tokens, max(1, floor(round((1 - self.ratio) * num_tokens, 6))))

    def count_each(self, num_tokens: int, copies: int) -> int:
        """Count the tokens that stay of each of some equal parts, such as the frames of a video, at least one."""
        if self.budget is None:
            return self.count_kept(num_tokens)
        return min(num_tokens, max(1, self.budget // copies))


def _checked_ratio(ratio: float) -> float:
    """Convert a ratio to a float. 0, 0.0 and -0.0 must be one value, since the specification is part of cache keys."""
    valid = isinstance(ratio, Real) and not isinstance(ratio, bool) and 0 <= ratio < 1
    if not valid or float(ratio) == 1:  # closer to 1 than a float can tell
        raise SpecError(
            f"prune_ratio must be a number in [0, 1), got {shortened(ratio)}.", "prune_ratio", "invalid_ratio"
        )
    return float(ratio) + 0.0


def _check_budget(budget: Any) -> None:
    if not isinstance(budget, int) or isinstance(budget, bool) or budget < 1:
        raise SpecError(
            f"visual_token_budget must be a positive integer, got {shortened(budget)}.",
            "visual_token_budget",
            "invalid_budget",
        )


class MediaSize(NamedTuple):
    """Size of an image or a video.

    Attributes:
        height: in pixels.
        width: in pixels.
        frames: 1 for an image.
        seconds: for how long a frame is shown; 0 for an image.
    """

    height: int
    width: int
    frames: int = 1
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Group:
    """Tokens of an image that one selection chooses among, laid out in rows and columns that cover the image.

    Attributes:
        rows: rows of tokens.
        columns: tokens in a row.
        kept: tokens that stay.
        copies: equal parts, such as the frames of a video, that each have these rows and columns and keep as many.
    """

    rows: int
    columns: int
    kept: int
    copies: int = 1

    @property
    def tokens(self) -> int:
        """Tokens before pruning, in one copy."""
        return self.rows * self.columns


@dataclass(frozen=True, slots=True)
class TokenPlan:
    """Visual tokens of one image or video, counted.

    Attributes:
        groups: tokens to choose among.
        structural: tokens that always stay, such as newlines.
        span: positions that the visual tokens take in the prompt when none is dropped.
        units: work for the vision tower, in what the family counts it by, such as crops.
        geometry: what else the family lays tokens out by.
    """

    groups: tuple[Group, ...]
    structural: int
    span: int
    units: int
    geometry: tuple[int, ...] = ()

    @property
    def patches(self) -> int:
        """Tokens of all groups before pruning, which a ratio and a budget count."""
        return sum(group.tokens * group.copies for group in self.groups)

    @property
    def patches_kept(self) -> int:
        """Tokens of all groups after pruning."""
        return sum(group.kept * group.copies for group in self.groups)

    @property
    def kept_of_groups(self) -> tuple[int, ...]:
        """Tokens that stay of each group, in one copy: all of what a request decides of a plan."""
        return tuple(group.kept for group in self.groups)

    @property
    def input(self) -> int:
        """Visual tokens before pruning, structural ones included."""
        return self.patches + self.structural

    @property
    def kept(self) -> int:
        """Visual tokens after pruning, structural ones included."""
        return self.patches_kept + self.structural

    @property
    def pruned(self) -> bool:
        """Whether any token is dropped."""
        return self.kept < self.input

    @property
    def effective_ratio(self) -> float:
        """Fraction of the groups' tokens that is dropped, to four decimals."""
        return effective_ratio(self.patches_kept, self.patches)


def effective_ratio(kept: int, patches: int) -> float:
    """Compute the fraction that is dropped where `kept` of `patches` tokens stay, to four decimals."""
    return round(1 - kept / patches, 4)


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """Plan of an image or a video as the model gets it: integers only, so that they cross processes unchanged.

    Attributes:
        plan: its visual tokens.
        method: index of the selection method among the server's.
        digest: of its pixels as the tower sees them, in 63 bits. It seeds random selections, and 0 is an image's whose
            tokens all stay.
    """

    plan: TokenPlan
    method: int = 0
    digest: int = 0

    def row(self) -> list[int]:
        """Return all of it in one list."""
        plan = self.plan
        groups = [number for group in plan.groups for number in astuple(group)]
        counts = (self.method, self.digest, plan.structural, plan.span, plan.units, len(plan.groups))
        return [*counts, *groups, *plan.geometry]

    @classmethod
    def of(cls, row: Sequence[int]) -> "PlannedImage":
        """Undo `row`."""
        method, digest, structural, span, units, count, *rest = row
        size = len(fields(Group))
        groups = tuple(Group(*rest[place : place + size]) for place in range(0, count * size, size))
        return cls(TokenPlan(groups, structural, span, units, tuple(rest[count * size :])), method, digest)


def shortened(value: object) -> str:
    """Format a value that a client sent for an error message."""
    try:
        return reprlib.repr(value)
    except ValueError:  # an integer of more digits than Python prints
        return "a very large number"
