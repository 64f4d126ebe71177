"""LLaVA-NeXT's "anyres" geometry: count the tokens of a base crop and of a grid of crops. Pure Python integers.

Source: Transformers 5 and vLLM 0.32, floating-point rounding included.
"""

from collections.abc import Sequence
from math import sqrt

from gprune_vllm.plan import Group, PruneSpec, TokenPlan

Size = tuple[int, int]
"""Height and width."""


def plan_tokens(
    size: Size,
    pinpoints: Sequence[Sequence[int]],
    crop_size: int,
    patch_size: int,
    spec: PruneSpec,
    most_crops: int | None = None,
) -> TokenPlan:
    """Plan the visual tokens of one image.

    Args:
        size: of the original image, in pixels.
        pinpoints: resolutions `(height, width)` the model may cut an image into, in pixels.
        crop_size: side of a crop, in pixels.
        patch_size: side of a patch, in pixels.
        spec: what is asked.
        most_crops: crops whose tokens the grid may have and a fifth more; a larger one is resized to these.

    Returns:
        A plan of two groups, base crop and grid, whose structural tokens are the newlines of the grid and whose
        geometry is the rows and columns of crops.

    Raises:
        ValueError: a side of the image is not positive, or there is no resolution to choose from.
    """
    if min(size) < 1:
        raise ValueError(f"size must be positive, got {size}")
    if not pinpoints:
        raise ValueError("pinpoints must name at least one resolution")
    height, width = _best_resolution(size, pinpoints)
    side = crop_size // patch_size
    crop_rows, crop_columns = height // crop_size, width // crop_size
    rows, columns = _unpadded(size, crop_rows * side, crop_columns * side)
    if most_crops and (ratio := sqrt(rows * columns / (most_crops * side**2))) > 1.1:
        rows, columns = int(rows // ratio), int(columns // ratio)
    base_kept, grid_kept = spec.split(side**2, rows * columns)
    groups = Group(side, side, base_kept), Group(rows, columns, grid_kept)
    span = side**2 + rows * (columns + 1)
    return TokenPlan(groups, rows, span, 1 + crop_rows * crop_columns, (crop_rows, crop_columns))


def largest_plan(pinpoints: Sequence[Sequence[int]], crop_size: int, patch_size: int) -> TokenPlan:
    """Plan the image that yields the most visual tokens, unpruned, as vLLM profiles it."""
    plans = [plan_tokens((height, width), pinpoints, crop_size, patch_size, PruneSpec()) for height, width in pinpoints]
    return max(plans, key=lambda plan: plan.input)


def _best_resolution(size: Size, resolutions: Sequence[Sequence[int]]) -> Size:
    """The resolution that keeps most pixels of the image, and of those the one that wastes fewest."""
    image_height, image_width = size

    def fit(resolution: Sequence[int]) -> tuple[int, int]:
        height, width = resolution
        scale = min(width / image_width, height / image_height)
        effective = min(int(image_width * scale) * int(image_height * scale), image_width * image_height)
        return effective, -(width * height - effective)

    height, width = max(resolutions, key=fit)
    return height, width


def _unpadded(size: Size, height: int, width: int) -> Size:
    """Rows and columns of a padded grid of `height` x `width` patches that show the image."""
    image_height, image_width = size
    if image_width / image_height > width / height:
        inner = int(round(image_height * (width / image_width), 7))
        return height - 2 * ((height - inner) // 2), width
    inner = int(round(image_width * (height / image_height), 7))
    return height, width - 2 * ((width - inner) // 2)
