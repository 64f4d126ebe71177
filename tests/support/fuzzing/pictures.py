"""URLs of pictures as a broken client or an attacker might send them: hypothesis strategies."""

import base64
import io
import textwrap
from collections.abc import Callable, Iterator
from urllib.parse import quote

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from PIL import Image

from tests.support.photos import generated

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "ICO", "PPM", "TGA", "PCX", "DIB")
TAKEN = FORMATS[:4]
MODES = {"PNG": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"), "JPEG": ("RGB", "L", "CMYK"), "TIFF": ("F", "CMYK")}
SIZES = ((1, 1), (5, 3), (101, 67), (224, 224), (300, 7), (2, 201))
NO_PICTURES = (
    *(b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", b"PK\3\4", b"\0" * 64, b"GIF89a", b"hello"),
    *(b"\0\0\0\x18ftyp" + brand + b"\0" * 12 for brand in (b"heic", b"avif", b"mif1", b"isom")),
    *(b"<!DOCTYPE html><p>", b"<?xml version='1.0'?>", b"{}", b"8BPS", b"<" * 2000, b"data:image/png;base64,AAAA"),
)
# None of these sends a packet: a server takes no http URL unless it was told to.
ODD_DATA = (
    *("", " ", "data:", "data:,", "data:image/png;base64,", "data:image/png;base64,!", "data:;base64", "iVBORw0KGgo="),
    *("data:image/png;base64,AA AA", "data:image/png;base64,AA==AA==", "data:image/png;base64,AAAAA", "data:%2C"),
)
ODD_HOSTS = (
    "http://",
    "http://[",
    "http://localhost/x.png",
    "https://127.0.0.1:1/",
    "ftp://localhost/x",
    "file:///etc",
)


def pictures() -> Iterator[tuple[str, bytes]]:
    """Format and bytes of small pictures, right ones: every format, several modes and sizes, and an animation."""
    for format in FORMATS:
        for mode in MODES.get(format, ("RGB",)):
            yield format, encoded(generated(40, 30).convert(mode), format)
    for size in SIZES:
        yield "PNG", encoded(Image.linear_gradient("L").resize(size).convert("RGB"), "PNG")
    frames = [generated(40, 30, seed=seed) for seed in range(3)]
    yield "GIF", encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


PICTURES = tuple(pictures())


@st.composite
def damaged(draw: DrawFn) -> tuple[str, bytes]:
    """A picture after a few edits: bytes overwritten, put in or cut out, or lost from some place on."""
    format, data = draw(st.sampled_from(PICTURES))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, min(len(data), draw(st.sampled_from((32, 200, 100_000))))))
        piece = draw(st.binary(max_size=8))
        end = start + draw(st.sampled_from((len(piece), 0, 8, len(data))))
        data = data[:start] + piece + data[end:]
    return draw(st.sampled_from((format, "PNG", "X"))), data


def as_url(picture: tuple[str, bytes]) -> str:
    return f"data:image/{picture[0].lower()};base64,{base64.b64encode(picture[1]).decode()}"


def as_lines(picture: tuple[str, bytes]) -> str:
    header, _, text = as_url(picture).partition(",")
    return f"{header},\n" + "\n".join(textwrap.wrap(text, 76)) + "\n"


# What base64(1), browsers and others write. Each means one thing.
WRITERS: tuple[Callable[[tuple[str, bytes]], str], ...] = (
    as_url,
    as_lines,
    lambda picture: as_url(picture).rstrip("="),
    lambda picture: as_url(picture).replace("+", "-").replace("/", "_").replace("image_", "image/"),
    lambda picture: quote(as_url(picture), safe=":"),
    lambda picture: as_url(picture).replace(";base64", ";BASE64"),
)


def written(picture: tuple[str, bytes]) -> st.SearchStrategy[str]:
    return st.sampled_from(WRITERS).map(lambda write: write(picture))


right_urls = st.sampled_from([picture for picture in PICTURES if picture[0] in TAKEN]).flatmap(written)
damaged_urls = (damaged() | st.sampled_from([("PNG", data) for data in NO_PICTURES])).flatmap(written)
odd_urls = st.sampled_from(ODD_DATA + ODD_HOSTS) | st.text(max_size=12)
urls = st.one_of(*[right_urls] * 8, damaged_urls, odd_urls)
