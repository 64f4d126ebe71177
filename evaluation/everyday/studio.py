"""Drawing of everyday scenes, from photographs and a colour emoji font that this project does not bring along."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

from evaluation.everyday.scene import PICTOGRAMS
from evaluation.scenes.drawing import draw_sign
from evaluation.scenes.scene import COLOURS, Bar, Colour, Scene, Shape

EMOJI_SIZE = 109
"""The one size of the bitmaps in Noto Color Emoji."""
PAPERS = ((250, 250, 245), (238, 230, 210), (222, 232, 240), (40, 42, 48), (20, 30, 50))


@dataclass(frozen=True)
class Studio:
    """Draws everyday scenes.

    Attributes:
        photographs: in RGB, for backgrounds.
        pictograms: each in RGBA, by name.
    """

    photographs: Sequence[Image.Image]
    pictograms: Mapping[str, Image.Image]

    @classmethod
    def load(cls, photographs: Path, emoji: Path) -> "Studio":
        """Load a folder's photographs, and the pictograms of a colour emoji font."""
        return cls(load_photographs(photographs), load_pictograms(emoji))

    def draw(self, scene: Scene) -> Image.Image:
        source = random.Random(f"draw everyday {scene.seed}")
        scale = scene.enlargement
        size = round(scene.width * scale), round(scene.height * scale)
        paper = source.choice(PAPERS)
        image = background(source, self.photographs, *size) if scene.layout == "street" else sheet(source, paper, *size)
        canvas = ImageDraw.Draw(image)
        for bar in scene.bars:
            draw_bar(canvas, bar, scale, source)
        for shape in scene.shapes:
            draw_pictogram(image, self.pictograms[shape.kind], shape, scale, source)
        for sign in scene.signs:
            draw_sign(canvas, sign, scale, paper)
        return image


def load_photographs(folder: Path) -> list[Image.Image]:
    """The photographs of a folder, by name, in RGB."""
    return [Image.open(file).convert("RGB") for file in sorted(folder.glob("*.jpg"))]


def load_pictograms(emoji: Path) -> Mapping[str, Image.Image]:
    """Each pictogram, cut to what is drawn, in RGBA."""
    font = ImageFont.truetype(str(emoji), EMOJI_SIZE)
    pictograms = {}
    for name, character in PICTOGRAMS.items():
        image = Image.new("RGBA", (2 * EMOJI_SIZE,) * 2)
        ImageDraw.Draw(image).text((20, 20), character, font=font, embedded_color=True)
        pictograms[name] = image.crop(image.getbbox())
    return pictograms


def background(source: random.Random, photographs: Sequence[Image.Image], width: int, height: int) -> Image.Image:
    """A part of a photograph, some darker, brighter, or mirrored."""
    photograph = source.choice(photographs)
    largest = min(photograph.width / width, photograph.height / height)
    share = source.uniform(0.3, 1) * largest
    part_width, part_height = width * share, height * share
    left = source.uniform(0, photograph.width - part_width)
    top = source.uniform(0, photograph.height - part_height)
    box = (left, top, left + part_width, top + part_height)
    part = photograph.resize((width, height), Image.Resampling.BILINEAR, box=box)
    if source.random() < 0.5:
        part = ImageOps.mirror(part)
    return ImageEnhance.Brightness(part).enhance(source.uniform(0.7, 1.15))


def sheet(source: random.Random, paper: Colour, width: int, height: int) -> Image.Image:
    """Paper with a little grain."""
    grain = np.random.default_rng(source.getrandbits(32)).normal(0, 3, (height, width, 1))
    return Image.fromarray((np.array(paper) + grain).clip(0, 255).astype(np.uint8))


def draw_bar(canvas: ImageDraw.ImageDraw, bar: Bar, scale: float, source: random.Random) -> None:
    """Draw one bar, its colour a little off."""
    fill = tuple(max(0, min(255, value + source.randint(-14, 14))) for value in COLOURS[bar.colour])
    canvas.rectangle(tuple(side * scale for side in bar.box), fill=fill)


def draw_pictogram(
    image: Image.Image, pictogram: Image.Image, shape: Shape, scale: float, source: random.Random
) -> None:
    """Draw one pictogram, turned a little."""
    turned = pictogram.rotate(source.uniform(-15, 15), Image.Resampling.BICUBIC, expand=True)
    fitted = ImageOps.contain(turned, (round(shape.size * scale),) * 2, Image.Resampling.LANCZOS)
    place = round(shape.x * scale - fitted.width / 2), round(shape.y * scale - fitted.height / 2)
    image.paste(fitted, place, fitted)
