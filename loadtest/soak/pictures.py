"""Pictures of all shapes, some sent again and again, most only once."""

import base64
import random
from io import BytesIO

from PIL import Image

SIZES = (
    (1, 1),
    (1, 90),
    (90, 1),
    (5, 3),
    (64, 48),
    (112, 112),
    (300, 100),
    (100, 300),
    (224, 224),
    (700, 23),
    (640, 427),
    (1000, 750),
)
"""Width and height, from one pixel to many crops."""
LARGE = 100_000
"""Pixels from which a picture is sent as JPEG: as PNG it would cost the client more than the server."""
FAMILIAR = 24
"""Pictures that come back, which caches should know."""


class Pictures:
    """A supply of pictures as `data:` URLs.

    Args:
        source: of chance.
    """

    def __init__(self, source: random.Random) -> None:
        self._source = source
        self._familiar = [draw(size, source) for size in (SIZES * 2)[:FAMILIAR]]

    def take(self) -> str:
        """A familiar picture or a new one."""
        if self._source.random() < 0.5:
            return self._source.choice(self._familiar)
        return draw(self._source.choice(SIZES), self._source)


def draw(size: tuple[int, int], source: random.Random) -> str:
    """A field of colours that no other picture has."""
    image = Image.frombytes("RGB", (8, 8), source.randbytes(3 * 8 * 8)).resize(size, Image.Resampling.BICUBIC)
    return data_url(image, "JPEG" if size[0] * size[1] >= LARGE else "PNG")


def data_url(image: Image.Image, kind: str) -> str:
    """A picture, encoded in a format, as a `data:` URL."""
    buffer = BytesIO()
    image.save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
