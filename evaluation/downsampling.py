"""Smaller pictures instead of fewer tokens: what pruning must beat, since they save the tower's time too."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count

from PIL import Image

from evaluation.picture import Picture
from evaluation.sample import Sample

STEP = 0.95
"""Factor of a picture's sides from one try to the next."""
SMALLEST = 16
"""Pixels of a side that no picture goes below."""
TokenCount = Callable[[int, int], int]
"""The visual tokens of a picture of some height and width in pixels."""


def token_count(checkpoint: str) -> TokenCount:
    """The count of a checkpoint's processor."""
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(checkpoint)

    def tokens(height: int, width: int) -> int:
        return int(processor._get_num_multimodal_tokens(image_sizes=[(height, width)])["num_image_tokens"][0])

    return tokens


def downsampled(samples: Sequence[Sample], ratio: float, tokens: TokenCount) -> list[Sample]:
    """The same questions about smaller pictures, each with `ratio` of its visual tokens less, or as near as it gets."""
    pictures: dict[str, Picture] = {}
    for sample in samples:
        if sample.picture.digest not in pictures:
            pictures[sample.picture.digest] = _smaller(sample.picture, ratio, tokens)
    return [replace(sample, picture=pictures[sample.picture.digest]) for sample in samples]


def _smaller(picture: Picture, ratio: float, tokens: TokenCount) -> Picture:
    """The largest smaller picture that the tokens allow; where none does, the largest of those with the fewest."""
    sizes = _sizes(*picture.size)
    counted = [tokens(*size) for size in sizes]
    allowed = max((1 - ratio) * counted[0], min(counted))
    height, width = next(size for size, number in zip(sizes, counted, strict=True) if number <= allowed)
    return Picture.of(picture.image.resize((width, height), Image.Resampling.LANCZOS))


def _sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Heights and widths to try, from the picture's own down."""
    sizes: list[tuple[int, int]] = []
    for power in count():
        scale = STEP**power
        if power and scale * min(height, width) < SMALLEST:
            return sizes
        sizes.append((round(height * scale), round(width * scale)))
    return sizes
