"""Images that no cache knows: one that is sent again would hide what the tower costs."""

import base64
import random
from collections.abc import Iterator
from io import BytesIO

from PIL import Image

LARGE = 100_000
"""Pixels from which an image is sent as JPEG: as PNG it would cost the client more than the server."""


def generated(size: tuple[int, int], source: random.Random) -> Iterator[str]:
    """Draw images without end."""
    while True:
        yield draw(size, source)


def draw(size: tuple[int, int], source: random.Random) -> str:
    """Draw an image as a `data:` URL."""
    buffer, kind = BytesIO(), "jpeg" if size[0] * size[1] >= LARGE else "png"
    colours(size, source).save(buffer, kind)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def colours(size: tuple[int, int], source: random.Random) -> Image.Image:
    """Draw a field of colours that no other picture has."""
    return Image.frombytes("RGB", (8, 8), source.randbytes(3 * 8 * 8)).resize(size, Image.Resampling.BICUBIC)
