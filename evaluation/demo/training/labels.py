"""What each patch of a scene shows: dense supervision for the vision tower, since the generator knows the answers."""

from collections.abc import Iterator
from math import ceil

import numpy as np
from numpy.typing import NDArray

from evaluation.demo.checkpoint import PATCH
from evaluation.scenes.scene import COLOURS, CONSONANTS, CROP, SHAPES, VOWELS, Scene, Shape, margins

SIDE = CROP // PATCH
LETTERS = VOWELS + CONSONANTS
IGNORED = -100
"""Where there is nothing to learn: cross-entropy's default."""
CLASSES = {
    "kind": 1 + len(SHAPES),
    "colour": 1 + len(COLOURS),
    "middle": 2,
    "letter": 1 + len(LETTERS),
    "place": 5,
    "row": 1 + SIDE,
    "column": 1 + SIDE,
}
"""What is told apart, and how many classes it has: a shape's kind and colour, whether its middle is here, the letter
whose middle is here, that letter's place in its word, and where in the whole picture the patch is, which a crop of the
grid cannot know. Class 0 is nothing, but for the letter's place, where it is the first letter."""

Labels = dict[str, NDArray[np.int64]]


def patch_labels(scene: Scene) -> Labels:
    """The classes of each patch, `[crops, patches]` int64 each, in the order in which LLaVA-NeXT cuts crops."""
    crops = [crop_labels(scene, *window, legible=legible) for window, legible in windows(scene)]
    return {name: np.stack([crop[name] for crop in crops]) for name in CLASSES}


def windows(scene: Scene) -> Iterator[tuple[tuple[float, float, float, float], bool]]:
    """Left, top, width and height of what each crop shows, and whether its letters are large enough to read."""
    yield (0, 0, scene.width, scene.height), False
    left, top = margins(scene.width, scene.height)
    for row in range(ceil(scene.height / CROP)):
        for column in range(ceil(scene.width / CROP)):
            yield (column * CROP - left, row * CROP - top, CROP, CROP), True


def crop_labels(scene: Scene, left: float, top: float, width: float, height: float, *, legible: bool) -> Labels:
    """The classes of one crop's patches, `[patches]` int64 each."""
    labels = {name: np.zeros((SIDE, SIDE), dtype=np.int64) for name in CLASSES}
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    x, y = left + columns * width / SIDE, top + rows * height / SIDE  # [SIDE, SIDE], middles of the patches
    labels["place"][:] = IGNORED
    if not legible:
        labels["letter"][:] = IGNORED
        labels["row"][:], labels["column"][:] = 1 + np.mgrid[0:SIDE, 0:SIDE]
    for shape in scene.shapes:
        here = abs(x - shape.x) <= width / SIDE / 2, abs(y - shape.y) <= height / SIDE / 2
        middle = here[0] & here[1]
        covered = middle | (np.hypot(x - shape.x, y - shape.y) <= shape.size * 0.45)
        _label_shape(labels, shape, covered, middle)
    for sign in scene.signs if legible else ():
        for place, letter in enumerate(sign.word):
            across = abs(x - (sign.x + place * sign.pitch)) <= width / SIDE / 2
            here_too = across & (abs(y - sign.y) <= height / SIDE / 2)
            labels["letter"][here_too] = 1 + LETTERS.index(letter)
            labels["place"][here_too] = place
    return {name: label.reshape(-1) for name, label in labels.items()}


def _label_shape(labels: Labels, shape: Shape, covered: NDArray[np.bool_], middle: NDArray[np.bool_]) -> None:
    labels["kind"][covered] = 1 + SHAPES.index(shape.kind)
    labels["colour"][covered] = 1 + list(COLOURS).index(shape.colour)
    labels["middle"][middle] = 1
