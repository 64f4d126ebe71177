"""Everyday scenes, drawn from a seed like those of `evaluation.scenes`, and with the same lengths."""

import random
from collections.abc import Callable

from evaluation.everyday.seams import cells_of
from evaluation.scenes.scene import (
    COLOURS,
    ENLARGEMENTS,
    FONTS,
    GRIDS,
    Bar,
    Box,
    Scene,
    Shape,
    Sign,
    Split,
    make_word,
    place_shape,
    place_sign,
)

PICTOGRAMS = {
    "cat": "🐱", "dog": "🐶", "bird": "🐦", "snail": "🐌", "apple": "🍎", "banana": "🍌", "carrot": "🥕", "pizza": "🍕",
    "burger": "🍔", "cup": "☕", "car": "🚗", "bus": "🚌", "bicycle": "🚲", "plane": "✈", "boat": "⛵", "house": "🏠",
    "tree": "🌳", "flower": "🌻", "book": "📕", "clock": "⏰", "key": "🔑", "ball": "⚽", "guitar": "🎸",
    "umbrella": "☂",
}  # fmt: skip
"""Names of pictograms, and the characters that a colour emoji font draws them for."""
LAYOUTS = ("street", "street", "page", "chart", "table")
"""Kinds of picture, each as likely."""
MOST_LINES, MOST_ROWS = 9, 8


def make_everyday(
    seed: int, split: Split = "test", *, grid: tuple[int, int] | None = None, layout: str | None = None
) -> Scene:
    """Make up the scene of a seed, the same in any call.

    Args:
        seed: any integer.
        split: scenes for training, or held out from it.
        grid: width and height of what the scene fills of the model's grid; drawn from `GRIDS` where None.
        layout: drawn from `LAYOUTS` where None.
    """
    source = random.Random(f"everyday {split} {seed}")
    width, height = grid or source.choice(GRIDS)
    enlargement, drawn = source.choice(ENLARGEMENTS), source.choice(LAYOUTS)
    layout = layout or drawn
    signs, shapes, bars = MAKERS[layout](source, width, height)
    return Scene(seed, width, height, enlargement, tuple(signs), tuple(shapes), tuple(bars), layout)


Content = tuple[list[Sign], list[Shape], list[Bar]]


def _street(source: random.Random, width: int, height: int) -> Content:
    """A sign among pictograms, few kinds of them, so that some are there more than once."""
    boxes: list[Box] = []
    sign = place_sign(source, width, height, boxes)
    kinds = source.sample(sorted(PICTOGRAMS), source.choice((2, 3, 5)))
    most = min(6, max(2, width * height // 8000))
    shapes = [place_shape(source, width, height, boxes, kinds, [""]) for _ in range(source.randint(1, most))]
    return [sign] if sign else [], [shape for shape in shapes if shape], []


def _page(source: random.Random, width: int, height: int) -> Content:
    """Numbered lines of one word each, in columns."""
    spacing, pitch, font, size = source.uniform(24, 29), source.uniform(13, 14.5), source.choice(FONTS), 15.0
    places = [
        (left + pitch / 2 + 3, top + spacing * (row + 0.5) + 1, int((right - left - 6) / pitch) - 2)
        for left, top, right, bottom in cells_of(width, height)
        for row in range(int((bottom - top - 2) / spacing))
    ][:MOST_LINES]
    signs = []
    for number, (x, y, longest) in enumerate(places[: source.randint(min(3, len(places)), len(places))], 1):
        word = make_word(source, longest)
        signs += [
            Sign(str(number), x, y, pitch, font, size, None, str(number)),
            Sign(word, x + 2 * pitch, y, pitch, font, size, None, str(number)),
        ]
    return signs, [], []


def _table(source: random.Random, width: int, height: int) -> Content:
    """Pictograms, each with a number beside it."""
    spacing, pitch, font = source.uniform(34, 37), source.uniform(14, 16), source.choice(FONTS)
    size = source.uniform(27, 31)
    places = [
        (left + size / 2 + 4, top + spacing * (row + 0.5))
        for left, top, _, bottom in cells_of(width, height)
        for row in range(int((bottom - top) / spacing))
    ]
    kinds = source.sample(sorted(PICTOGRAMS), min(len(places), source.randint(3, MOST_ROWS)))
    rows = sorted(source.sample(places, len(kinds)))
    shapes = [Shape(kind, "", x, y, size) for kind, (x, y) in zip(kinds, rows, strict=True)]
    signs = [
        Sign(str(source.randint(10, 99)), one.x + size / 2 + pitch, one.y, pitch, font, 15.0, None, one.kind)
        for one in shapes
    ]
    return signs, shapes, []


def _chart(source: random.Random, width: int, height: int) -> Content:
    """Bars of different colours and heights, each with its value at its top."""
    slots = [
        (left + (right - left) * (slot + 0.5) / count, min(30, (right - left) / count - 5))
        for left, right in dict.fromkeys((left, right) for left, _, right, _ in cells_of(width, height))
        for count in [int((right - left) / 36)]
        for slot in range(count)
    ]
    number = min(len(slots), source.randint(3, len(COLOURS)))
    colours, font, pitch = source.sample(sorted(COLOURS), number), source.choice(FONTS), source.uniform(13, 14.5)
    values: list[int] = []
    signs, bars = [], []
    for (x, breadth), colour in zip(sorted(source.sample(slots, number)), colours, strict=True):
        value, top, y = _value(source, values, height)
        values.append(value)
        bars.append(Bar(colour, (x - breadth / 2, top, x + breadth / 2, height - 4), value))
        signs.append(Sign(str(value), x - pitch / 2, y, pitch, font, 14.0, None, colour))
    return signs, [], bars


def _value(source: random.Random, taken: list[int], height: int) -> tuple[int, float, float]:
    """A value unlike the others, the top of its bar, and the middle of its digits above, clear of seams between crops:
    digits that a seam cuts cannot be read."""
    seams = {edge for _, top, _, bottom in cells_of(height, height) for edge in (top, bottom)} - {0, height}
    while True:
        value = source.randint(10, 99)
        top = height - 4 - (height - 26) * value / 100
        if all(abs(value - other) >= 5 for other in taken) and all(not -17 < seam - top < 10 for seam in seams):
            return value, top, top - 9


MAKERS: dict[str, Callable[[random.Random, int, int], Content]] = {
    "street": _street,
    "page": _page,
    "chart": _chart,
    "table": _table,
}
