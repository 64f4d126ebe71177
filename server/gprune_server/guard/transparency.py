"""Transparency and depth of images, where Pillow or vLLM misread them. It imports without vLLM."""

from contextlib import suppress
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

DEPTH = 24
"""Offset of the bit depth in a PNG file."""
SCALES = {2: 85, 4: 17}
"""By bit depth: what Pillow multiplies samples by, but not the transparent colour."""


def turned(image: Image.Image) -> Image.Image:
    """Return an image turned as its camera says, like `vllm.multimodal.image.normalize_image`."""
    with suppress(Exception):
        return ImageOps.exif_transpose(image)
    return image


def prepared(image: Image.Image, alpha: Image.Image | None) -> Image.Image:
    """Return a turned image with channels of 8 bits, scaled from 16, and with its alpha channel.

    Args:
        image: of any mode.
        alpha: see `alpha_of`.
    """
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda value: value / 257).convert("L")
    if alpha is not None:
        image.info.pop("transparency", None)
        image.putalpha(alpha)
    return image


def alpha_of(image: Image.Image, data: bytes) -> Image.Image | None:
    """Return the alpha channel of a PNG file with a transparent colour, or None for any other image.

    Pillow 13 compares colours wrongly unless samples have 8 bits, and vLLM 0.32 ignores the colour of RGB images.

    Args:
        image: the opened file.
        data: its content.
    """
    colour = image.info.get("transparency")
    if colour is None or image.format != "PNG" or image.mode == "P":  # palettes have alpha, which both get right
        return None
    depth = data[DEPTH]
    named = np.atleast_1d(colour) & (0xFF if depth == 1 else (1 << depth) - 1)
    if depth == 16 and image.mode == "RGB":
        hidden = _equal(image, named >> 8) & _equal(_low_bytes(data), named & 0xFF)
    else:
        hidden = _equal(image, named * SCALES.get(depth, 1))
    return Image.fromarray(~hidden)


def _low_bytes(data: bytes) -> Image.Image:
    """Return the lower halves of 16-bit samples, which Pillow drops."""
    image = Image.open(BytesIO(data), formats=("PNG",))
    image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]
    return image


def _equal(image: Image.Image, colour: np.ndarray) -> np.ndarray:
    """Return which pixels of an image, turned as its camera says, have a colour: bool `[height, width]`."""
    upright = turned(image)
    samples = np.asarray(upright.convert("L") if upright.mode == "1" else upright)
    equal: np.ndarray = np.all(np.atleast_3d(samples) == colour, axis=2)
    return equal
