"""What each patch of a scene shows: dense supervision for the vision tower, since the generator knows the answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.everyday.scene import MOST_LINES, PICTOGRAMS
from evaluation.scenes.scene import COLOURS, CONSONANTS, SHAPES, VOWELS, Scene

SIDE = 8
"""Rows and columns in which places in a scene are told."""
LETTERS = VOWELS + CONSONANTS + "0123456789"
KINDS = (*SHAPES, *PICTOGRAMS, "bar")
OWNERS = (*map(str, range(1, 1 + MOST_LINES)), *COLOURS, *PICTOGRAMS)
"""What words and numbers belong to."""
IGNORED = -100
"""Where there is nothing to learn: cross-entropy's default."""
CLASSES = {
    "kind": 1 + len(KINDS),
    "colour": 1 + len(COLOURS),
    "middle": 2,
    "letter": 1 + len(LETTERS),
    "owner": 1 + len(OWNERS),
    "place": 5,
    "row": 1 + SIDE,
    "column": 1 + SIDE,
}
"""What is told apart, and how many classes it has: a shape's kind and colour, whether its middle is here, the letter
whose middle is here, what its word belongs to, that letter's place in its word, and where in the whole picture the
patch is, which a crop of the grid cannot know. Class 0 is nothing, but for the letter's place, where it is the first
letter."""

Labels = dict[str, NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class View:
    """What a tower is shown of a scene at once, and how finely.

    Attributes:
        left, top, width, height: in the scene.
        rows, columns: of patches.
        legible: whether letters are large enough to read.
        placed: whether it is the whole scene, so that a patch's place in it can be told.
        block: side of the squares that patches come in, one square after the other.
    """

    left: float
    top: float
    width: float
    height: float
    rows: int
    columns: int
    legible: bool = True
    placed: bool = True
    block: int = 1

    def in_order(self, grid: NDArray[np.int64]) -> NDArray[np.int64]:
        """`[rows, columns]` as `[rows * columns]`, in the order in which the tower is given patches."""
        size = self.block
        blocks = grid.reshape(self.rows // size, size, self.columns // size, size)  # rows and columns, each in two
        return blocks.swapaxes(1, 2).reshape(-1)


def patch_labels(scene: Scene, views: Sequence[View]) -> Labels:
    """The classes of each patch of all views, `[patches]` int64 each."""
    labels = [view_labels(scene, view) for view in views]
    return {name: np.concatenate([label[name] for label in labels]) for name in CLASSES}


def view_labels(scene: Scene, view: View) -> Labels:
    """The classes of one view's patches, `[patches]` int64 each."""
    labels = {name: np.zeros((view.rows, view.columns), dtype=np.int64) for name in CLASSES}
    labels["place"][:] = IGNORED
    if view.placed:
        rows, columns = np.mgrid[0 : view.rows, 0 : view.columns]
        labels["row"][:], labels["column"][:] = 1 + rows * SIDE // view.rows, 1 + columns * SIDE // view.columns
    if not view.legible:
        labels["letter"][:] = labels["owner"][:] = IGNORED
    _label_shapes(labels, scene, view)
    if view.legible:
        _label_letters(labels, scene, view)
    return {name: view.in_order(label) for name, label in labels.items()}


def _label_shapes(labels: Labels, scene: Scene, view: View) -> None:
    x, y, half = _middles(view)
    for bar in scene.bars:
        left, top, right, bottom = bar.box
        covered = (left <= x) & (x <= right) & (top <= y) & (y <= bottom)
        _label_kind(labels, covered, "bar", bar.colour)
    for shape in scene.shapes:
        middle = (abs(x - shape.x) <= half[0]) & (abs(y - shape.y) <= half[1])
        covered = middle | (np.hypot(x - shape.x, y - shape.y) <= shape.size * 0.45)
        _label_kind(labels, covered, shape.kind, shape.colour)
        labels["middle"][middle] = 1


def _label_letters(labels: Labels, scene: Scene, view: View) -> None:
    x, y, half = _middles(view)
    for sign in scene.signs:
        for place, letter in enumerate(sign.word):
            here = (abs(x - (sign.x + place * sign.pitch)) <= half[0]) & (abs(y - sign.y) <= half[1])
            labels["letter"][here] = 1 + LETTERS.index(letter)
            labels["place"][here] = place
            labels["owner"][here] = 1 + OWNERS.index(sign.owner) if sign.owner else 0


def _middles(view: View) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[float, float]]:
    """Middles of the patches, `[rows, columns]` each, and half a patch's width and height, in the scene."""
    width, height = view.width / view.columns, view.height / view.rows
    rows, columns = np.mgrid[0 : view.rows, 0 : view.columns] + 0.5
    return view.left + columns * width, view.top + rows * height, (width / 2, height / 2)


def _label_kind(labels: Labels, covered: NDArray[np.bool_], kind: str, colour: str) -> None:
    labels["kind"][covered] = 1 + KINDS.index(kind)
    if colour:
        labels["colour"][covered] = 1 + list(COLOURS).index(colour)
