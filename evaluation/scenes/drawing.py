"""Drawing of scenes."""

import random
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from evaluation.scenes.scene import COLOURS, Colour, Scene, Shape, Sign

TEXTURES = ("plain", "noise", "gradient", "stripes", "checks")
TURN = 2 * np.pi
WHITE, BLACK = (245, 245, 245), (15, 15, 15)


def draw(scene: Scene) -> Image.Image:
    source = random.Random(f"draw {scene.seed}")
    scale = scene.enlargement
    image = _background(source, round(scene.width * scale), round(scene.height * scale))
    canvas = ImageDraw.Draw(image)
    for shape in scene.shapes:
        _draw_shape(canvas, shape, scale, source)
    for sign in scene.signs:
        draw_sign(canvas, sign, scale)
    return image


def _background(source: random.Random, width: int, height: int) -> Image.Image:
    """A texture in a colour too dull to be a shape's."""
    grey = source.uniform(60, 215)
    colour = np.array([grey + source.uniform(-18, 18) for _ in range(3)])
    pixels = colour + _texture(source, width, height)[..., None]  # [height, width, 3]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _texture(source: random.Random, width: int, height: int) -> Any:
    """What is added to each pixel, `[height, width]`."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    frequency, contrast = TURN / source.uniform(6, 24), source.uniform(5, 16)
    match source.choice(TEXTURES):
        case "noise":
            return np.random.default_rng(source.getrandbits(32)).normal(0, contrast / 2, (height, width))
        case "gradient":
            return (columns / width - rows / height) * contrast * 2
        case "stripes":
            slope = source.choice((0, 1, -1))
            return np.sign(np.sin((columns + rows * slope) * frequency)) * contrast / 2
        case "checks":
            return np.sign(np.sin(columns * frequency) * np.sin(rows * frequency)) * contrast / 2
        case _:
            return np.zeros((height, width))


def _draw_shape(canvas: ImageDraw.ImageDraw, shape: Shape, scale: float, source: random.Random) -> None:
    """Draw one shape, its colour a little off."""
    left, top, right, bottom = (side * scale for side in shape.box)
    fill = tuple(max(0, min(255, value + source.randint(-14, 14))) for value in COLOURS[shape.colour])
    if shape.kind == "circle":
        canvas.ellipse((left, top, right, bottom), fill=fill)
        return
    width, height = right - left, bottom - top
    canvas.polygon([(left + x * width, top + y * height) for x, y in OUTLINES[shape.kind]], fill=fill)


def _star() -> list[tuple[float, float]]:
    """A star of five points in the unit square."""
    angles = [np.pi * step / 5 for step in range(10)]
    radii = [0.5 if step % 2 == 0 else 0.2 for step in range(10)]
    points = zip(radii, angles, strict=True)
    return [(0.5 + radius * float(np.sin(angle)), 0.5 - radius * float(np.cos(angle))) for radius, angle in points]


OUTLINES = {
    "square": [(0.04, 0.04), (0.96, 0.04), (0.96, 0.96), (0.04, 0.96)],
    "triangle": [(0.5, 0.0), (1.0, 1.0), (0.0, 1.0)],
    "star": _star(),
    "cross": [
        (a / 3, b / 3)
        for a, b in ((1, 0), (2, 0), (2, 1), (3, 1), (3, 2), (2, 2), (2, 3), (1, 3), (1, 2), (0, 2), (0, 1), (1, 1))
    ],
}


def draw_sign(canvas: ImageDraw.ImageDraw, sign: Sign, scale: float, paper: Colour = WHITE) -> None:
    """Draw a plate, where there is one, and letters that stand out from it or from the paper."""
    letters = WHITE if sum(sign.plate or paper) < 380 else BLACK
    if sign.plate:
        canvas.rectangle(tuple(side * scale for side in sign.box), fill=sign.plate, outline=letters)
    font = load_font(sign.font, round(sign.letter_size * scale))
    for place, letter in enumerate(sign.word):
        centre = ((sign.x + place * sign.pitch) * scale, sign.y * scale)
        canvas.text(centre, letter, font=font, fill=letters, anchor="mm")


@lru_cache(maxsize=256)
def load_font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """A font that Matplotlib brings along, so that scenes look the same everywhere."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"), size)
