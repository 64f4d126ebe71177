"""Scenes that the demo model is trained and measured on: a sign to read among coloured shapes, drawn from a seed.

Lengths are in pixels of the model's grid, which are pixels of the picture where it is not larger than the grid.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

CROP = 112
"""Side of a crop."""
VOWELS = "AEIOU"
CONSONANTS = "BDFGHKLMNPRSTVXYZ"
PATTERNS = ("cvc", "vcv", "cvcv", "vcvc", "cvcvc", "cvccv", "vcvcv")
SHAPES = ("circle", "square", "triangle", "star", "cross")
COLOURS = {
    "red": (205, 40, 40),
    "green": (40, 150, 60),
    "blue": (45, 80, 205),
    "yellow": (235, 205, 50),
    "purple": (140, 55, 165),
    "orange": (240, 130, 30),
}
PLATES = ((250, 250, 245), (20, 20, 25), (20, 60, 110), (120, 20, 20), (245, 225, 120))
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono-Bold", "DejaVuSerif-Bold", "STIXGeneralBol", "DejaVuSerif")
GRIDS = ((224, 224), (224, 224), (224, 224), (224, 168), (168, 224), (336, 112), (112, 336), (224, 112), (112, 224))
"""Width and height of what a scene fills of the model's grid, each as likely."""
SMALL_GRIDS = ((224, 112), (112, 224))
"""The smallest of them: letters are learnt sooner where there is less to look at."""
ENLARGEMENTS = (1.0, 1.0, 1.5, 2.0)
"""How much larger than that a picture is, each as likely."""

Split = Literal["train", "test"]
Box = tuple[float, float, float, float]
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Shape:
    """A coloured shape, or a pictogram without a colour's name, around `(x, y)`."""

    kind: str
    colour: str
    x: float
    y: float
    size: float

    @property
    def box(self) -> Box:
        """Left, top, right and bottom."""
        half = self.size / 2
        return self.x - half, self.y - half, self.x + half, self.y + half


@dataclass(frozen=True, slots=True)
class Sign:
    """A word or a number, whose first letter is around `(x, y)` and the others `pitch` to the right of one another.

    Attributes:
        letter_size: of the font.
        plate: colour of what it is written on; None if it is the paper.
        owner: what the word or number belongs to, such as a line's number, a bar's colour or a pictogram's name.
    """

    word: str
    x: float
    y: float
    pitch: float
    font: str
    letter_size: float
    plate: Colour | None
    owner: str = ""

    @property
    def box(self) -> Box:
        """Left, top, right and bottom of the plate."""
        half = self.pitch / 2 + 4
        return self.x - half, self.y - 12, self.x + self.pitch * (len(self.word) - 1) + half, self.y + 12


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart."""

    colour: str
    box: Box
    value: int


@dataclass(frozen=True, slots=True)
class Scene:
    """What a picture of `width` x `height` shows; the picture itself has `enlargement` times as many pixels a side.

    Attributes:
        bars: of a chart.
        layout: what kind of picture it is, in a world of more than one.
    """

    seed: int
    width: int
    height: int
    enlargement: float
    signs: tuple[Sign, ...]
    shapes: tuple[Shape, ...]
    bars: tuple[Bar, ...] = ()
    layout: str = ""


def make_scene(
    seed: int, split: Split = "test", *, grid: tuple[int, int] | None = None, signs: int = 1, most_shapes: int = 5
) -> Scene:
    """Make up the scene of a seed. The same seed gives another scene in each split, and in any other call the same.

    Args:
        seed: any integer.
        split: scenes for training, or held out from it.
        grid: width and height of what the scene fills of the model's grid; drawn from `GRIDS` where None.
        signs: signs to try to place.
        most_shapes: shapes to try to place, at most.
    """
    source = random.Random(f"{split} {seed}")
    width, height = grid or source.choice(GRIDS)
    enlargement = source.choice(ENLARGEMENTS)
    boxes: list[Box] = []
    placed_signs = [place_sign(source, width, height, boxes) for _ in range(signs)]
    crowd = min(most_shapes, max(2, width * height // 9000))
    kinds = source.sample(SHAPES, source.choice((2, 3, 5)))  # few kinds, so that some are there more than once
    placed_shapes = [place_shape(source, width, height, boxes, kinds) for _ in range(source.randint(1, crowd))]
    return Scene(
        seed=seed,
        width=width,
        height=height,
        enlargement=enlargement,
        signs=tuple(sign for sign in placed_signs if sign),
        shapes=tuple(shape for shape in placed_shapes if shape),
    )


def margins(width: int, height: int) -> tuple[float, float]:
    """Left and top of a scene in the crops that cover it: what does not fill the grid is in its middle."""
    return (-width % CROP) / 2, (-height % CROP) / 2


def make_word(source: random.Random, longest: int = 5) -> str:
    """A word of three letters or more that can be said, and almost surely was never said before."""
    pattern = source.choice([pattern for pattern in PATTERNS if len(pattern) <= longest])
    return "".join(source.choice(CONSONANTS if kind == "c" else VOWELS) for kind in pattern)


def place_sign(source: random.Random, width: int, height: int, boxes: list[Box]) -> Sign | None:
    """A sign that fits, its word within one crop: a letter that the grid cuts in two cannot be read."""
    word, pitch = make_word(source), source.uniform(14, 18)
    font, plate = source.choice(FONTS), source.choice(PLATES)
    length = pitch * (len(word) - 1)
    for _ in range(40):
        x = source.uniform(pitch / 2 + 5, width - length - pitch / 2 - 5)
        y = source.uniform(13, height - 13)
        sign = Sign(word, x, y, pitch, font, source.uniform(13, 17), plate)
        if _clear_of_seams(sign, width, height) and _clear(sign.box, boxes):
            boxes.append(sign.box)
            return sign
    return None


def _clear_of_seams(sign: Sign, width: int, height: int) -> bool:
    """Whether all letters are within one crop."""
    left, top = margins(width, height)
    length = sign.pitch * (len(sign.word) - 1)
    columns = {int((left + x) // CROP) for x in (sign.x - 7, sign.x + length + 7)}
    rows = {int((top + y) // CROP) for y in (sign.y - 8, sign.y + 8)}
    return len(columns) == len(rows) == 1


def place_shape(
    source: random.Random,
    width: int,
    height: int,
    boxes: list[Box],
    kinds: Sequence[str],
    colours: Sequence[str] = tuple(COLOURS),
) -> Shape | None:
    """A shape of one of the kinds and colours that fits."""
    kind, colour = source.choice(kinds), source.choice(colours)
    for _ in range(30):
        size = source.uniform(30, 48)
        x, y = (source.uniform(size / 2 + 1, side - size / 2 - 1) for side in (width, height))
        shape = Shape(kind, colour, x, y, size)
        if _clear(shape.box, boxes):
            boxes.append(shape.box)
            return shape
    return None


def _clear(box: Box, others: list[Box], gap: float = 3) -> bool:
    """Whether a box overlaps none of the others."""
    left, top, right, bottom = box
    return all(
        right + gap < other[0] or other[2] + gap < left or bottom + gap < other[1] or other[3] + gap < top
        for other in others
    )
