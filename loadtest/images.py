"""Images to ask about, as `data:` URLs: drawn at random, or given."""

import base64
import mimetypes
import random
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import cycle
from pathlib import Path

from PIL import Image

from loadtest.failure import LoadTestError

Size = tuple[int, int]
"""Width and height in pixels."""
LARGE = 100_000
"""Pixels from which an image is sent as JPEG: as PNG it would cost the client more than the server."""


def generated(sizes: Sequence[Size], source: random.Random) -> Iterator[str]:
    """Draw images that no cache knows, in these sizes by turns, without end."""
    for size in cycle(sizes):
        yield draw(size, source)


def repeated(images: Iterator[str], distinct: int) -> Iterator[str]:
    """Give the first so many images again and again, as clients send the same ones."""
    return cycle([next(images) for _ in range(distinct)])


def given(folder: Path) -> Iterator[str]:
    """Give the images of a folder again and again, in the order of their names.

    Raises:
        LoadTestError: there is none.
    """
    files = sorted(file for file in folder.glob("*") if _type(file).startswith("image/"))
    if not files:
        raise LoadTestError(f"no images in {folder}")
    return cycle([_data_url(file) for file in files])


def draw(size: Size, source: random.Random) -> str:
    """Draw a picture that no other is like."""
    return data_url(colours(size, source), "JPEG" if size[0] * size[1] >= LARGE else "PNG")


def colours(size: Size, source: random.Random) -> Image.Image:
    """Draw a field of colours that no other picture has."""
    return Image.frombytes("RGB", (8, 8), source.randbytes(3 * 8 * 8)).resize(size, Image.Resampling.BICUBIC)


def data_url(image: Image.Image, kind: str) -> str:
    """Encode a picture in a format, as a `data:` URL."""
    buffer = BytesIO()
    image.save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _type(file: Path) -> str:
    return mimetypes.guess_type(file.name)[0] or ""


def _data_url(file: Path) -> str:
    """A file as it is: encoding it anew would change what is measured."""
    return f"data:{_type(file)};base64,{base64.b64encode(file.read_bytes()).decode()}"
