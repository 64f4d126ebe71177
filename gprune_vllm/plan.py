"""How many visual tokens of an image stay. The one place that counts; pure Python integers."""

import reprlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from math import floor
from numbers import Real
from typing import Any


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
    """What a request asks for: a ratio or a budget, and the method that selects.

    Attributes:
        ratio: fraction of the patch tokens to prune, in [0, 1).
        budget: patch tokens to keep of each image, in place of a ratio.
        method: how the tokens are selected. It has no say in how many.

    Raises:
        SpecError: the ratio is not a number in [0, 1), the budget is not a positive integer, or both are given.
    """

    ratio: float = 0.0
    budget: int | None = None
    method: str = "gprune"

    def __post_init__(self) -> None:
        object.__setattr__(self, "ratio", _checked_ratio(self.ratio))
        if self.budget is not None:
            _check_budget(self.budget)
            if self.ratio:
                raise SpecError("a budget takes the place of a ratio", "visual_token_budget", "ratio_and_budget")

    @property
    def prunes(self) -> bool:
        """Whether any image may lose tokens."""
        return self.budget is not None or self.ratio > 0

    def split(self, base: int, grid: int) -> tuple[int, int]:
        """Patch tokens that stay of a base crop of `base` tokens and a grid of `grid`.

        A budget is shared in proportion, to the nearest token. Each group that is not empty keeps at least one.
        """
        if self.budget is None:
            return self.count_kept(base), self.count_kept(grid)
        tokens = base + grid
        budget = min(self.budget, tokens)
        share = (2 * budget * base + tokens) // (2 * tokens)  # budget * base / tokens, rounded
        kept = min(base, max(1, share))
        return kept, min(grid, max(1, budget - kept))

    def count_kept(self, num_tokens: int) -> int:
        """Tokens that the ratio leaves of `num_tokens`: the floor of `(1 - ratio) * num_tokens`, at least one.

        The product is rounded to 6 decimals first, so that 0.7 of 10 tokens leaves 3 and not 2.
        """
        return min(num_tokens, max(1, floor(round((1 - self.ratio) * num_tokens, 6))))


def _checked_ratio(ratio: float) -> float:
    """A ratio as a float: 0, 0.0 and -0.0 must be one value, since the specification is part of cache keys."""
    valid = isinstance(ratio, Real) and not isinstance(ratio, bool) and 0 <= ratio < 1
    if not valid or float(ratio) == 1:  # closer to 1 than a float can tell
        raise SpecError(
            f"prune_ratio must be a number in [0, 1), got {shortened(ratio)}", "prune_ratio", "invalid_ratio"
        )
    return float(ratio) + 0.0


def _check_budget(budget: Any) -> None:
    if not isinstance(budget, int) or isinstance(budget, bool) or budget < 1:
        raise SpecError(
            f"visual_token_budget must be a positive integer, got {shortened(budget)}",
            "visual_token_budget",
            "invalid_budget",
        )


@dataclass(frozen=True, slots=True)
class TokenPlan:
    """The visual tokens of one LLaVA-NeXT image, counted.

    An image is its base crop (the whole image, resized) followed by a grid: the crops laid side by side, with the
    padding that kept the aspect ratio cut off, and a newline token after each row. Patch tokens of the base crop and
    of the grid are pruned as two groups; newline tokens always stay.

    Attributes:
        base_kept: patch tokens of the base crop that stay.
        grid_kept: patch tokens of the grid that stay.
        grid_height: rows of the grid, which is also the number of newline tokens.
        grid_width: patch tokens in a row of the grid.
        patches_per_side: patch tokens along a side of one crop.
        crop_rows: crops above each other in the grid.
        crop_columns: crops beside each other in the grid.
    """

    base_kept: int
    grid_kept: int
    grid_height: int
    grid_width: int
    patches_per_side: int
    crop_rows: int
    crop_columns: int

    @property
    def base_tokens(self) -> int:
        """Patch tokens of the base crop before pruning."""
        return self.patches_per_side**2

    @property
    def grid_tokens(self) -> int:
        """Patch tokens of the grid before pruning."""
        return self.grid_height * self.grid_width

    @property
    def patches(self) -> int:
        """Patch tokens before pruning, which are those that a ratio and a budget count."""
        return self.base_tokens + self.grid_tokens

    @property
    def patches_kept(self) -> int:
        """Patch tokens after pruning."""
        return self.base_kept + self.grid_kept

    @property
    def input(self) -> int:
        """Visual tokens before pruning, newlines counted."""
        return self.patches + self.grid_height

    @property
    def kept(self) -> int:
        """Visual tokens after pruning, newlines counted."""
        return self.patches_kept + self.grid_height

    @property
    def crops(self) -> int:
        """Crops that the vision tower runs for this image, the base crop counted."""
        return 1 + self.crop_rows * self.crop_columns

    @property
    def pruned(self) -> bool:
        """Whether any token is dropped."""
        return self.kept < self.input


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """What the model is told of an image: integers only, so that they cross processes as they are.

    Attributes:
        plan: its visual tokens.
        method: index of the selection method among the server's.
        seed: of a random selection.
    """

    plan: TokenPlan
    method: int = 0
    seed: int = 0

    def row(self) -> list[int]:
        """All of it, in one list."""
        return [*astuple(self.plan), self.method, self.seed]

    @classmethod
    def of(cls, row: Sequence[int]) -> "PlannedImage":
        """Undo `row`."""
        *plan, method, seed = row
        return cls(TokenPlan(*plan), method, seed)


def plan_tokens(
    image_size: tuple[int, int],
    grid_pinpoints: Sequence[Sequence[int]],
    crop_size: int,
    patch_size: int,
    spec: PruneSpec,
) -> TokenPlan:
    """Plan the visual tokens of one image.

    Args:
        image_size: `(height, width)` of the original image, in pixels.
        grid_pinpoints: resolutions `(height, width)` the model may cut an image into, in pixels.
        crop_size: side of a crop, in pixels.
        patch_size: side of a patch, in pixels.
        spec: what is asked.

    Raises:
        ValueError: a side of the image is not positive, or there is no resolution to choose from.

    Source: LLaVA-NeXT's "anyres" geometry as Transformers 5 and vLLM 0.32 compute it, floating-point rounding included.
    """
    if min(image_size) < 1:
        raise ValueError(f"image_size must be positive, got {image_size}")
    if not grid_pinpoints:
        raise ValueError("grid_pinpoints must name at least one resolution")
    height, width = _best_resolution(image_size, grid_pinpoints)
    patches_per_side = crop_size // patch_size
    crop_rows, crop_columns = height // crop_size, width // crop_size
    grid_height, grid_width = _unpadded(image_size, crop_rows * patches_per_side, crop_columns * patches_per_side)
    base_kept, grid_kept = spec.split(patches_per_side**2, grid_height * grid_width)
    return TokenPlan(
        base_kept=base_kept,
        grid_kept=grid_kept,
        grid_height=grid_height,
        grid_width=grid_width,
        patches_per_side=patches_per_side,
        crop_rows=crop_rows,
        crop_columns=crop_columns,
    )


def largest_plan(grid_pinpoints: Sequence[Sequence[int]], crop_size: int, patch_size: int) -> TokenPlan:
    """The unpruned plan of the image that yields the most visual tokens, as vLLM profiles it."""
    plans = [
        plan_tokens((height, width), grid_pinpoints, crop_size, patch_size, PruneSpec())
        for height, width in grid_pinpoints
    ]
    return max(plans, key=lambda plan: plan.input)


def shortened(value: object) -> str:
    """A value for an error message, whatever a client sent."""
    try:
        return reprlib.repr(value)
    except ValueError:  # an integer of more digits than Python prints
        return "a very large number"


def _best_resolution(image_size: tuple[int, int], resolutions: Sequence[Sequence[int]]) -> tuple[int, int]:
    """The resolution that keeps most pixels of the image, and of those the one that wastes fewest."""
    image_height, image_width = image_size

    def fit(resolution: Sequence[int]) -> tuple[int, int]:
        height, width = resolution
        scale = min(width / image_width, height / image_height)
        effective = min(int(image_width * scale) * int(image_height * scale), image_width * image_height)
        return effective, -(width * height - effective)

    height, width = max(resolutions, key=fit)
    return height, width


def _unpadded(image_size: tuple[int, int], height: int, width: int) -> tuple[int, int]:
    """Rows and columns of a padded grid of `height` x `width` patches that show the image."""
    image_height, image_width = image_size
    if image_width / image_height > width / height:
        inner = int(round(image_height * (width / image_width), 7))
        return height - 2 * ((height - inner) // 2), width
    inner = int(round(image_width * (height / image_height), 7))
    return height, width - 2 * ((width - inner) // 2)
