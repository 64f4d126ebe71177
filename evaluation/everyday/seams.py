"""Seams between crops, which cut what lies across them."""

from itertools import pairwise

from evaluation.scenes.scene import CROP, Box, margins


def cells_of(width: int, height: int) -> list[Box]:
    """What each crop shows of a scene, column by column: left, top, right and bottom."""
    left, top = margins(width, height)
    columns, rows = _spans(width, left), _spans(height, top)
    return [(x, y, right, bottom) for x, right in columns for y, bottom in rows]


def _spans(length: int, margin: float) -> list[tuple[float, float]]:
    """Where each crop begins and ends along one side."""
    edges = [CROP * number - margin for number in range(int(length + 2 * margin) // CROP + 1)]
    return [(max(0.0, begin), min(float(length), end)) for begin, end in pairwise(edges)]
