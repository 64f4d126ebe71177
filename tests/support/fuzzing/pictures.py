"""URLs of pictures as a broken client or an attacker might send them: hypothesis strategies."""

import base64
import io
from collections.abc import Iterator

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from PIL import Image

from tests.support.photos import generated

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "ICO", "PPM", "TGA", "PCX", "DIB")
TAKEN = FORMATS[:4]
MODES = {"PNG": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"), "JPEG": ("RGB", "L", "CMYK"), "TIFF": ("F", "CMYK")}
SIZES = ((1, 1), (5, 3), (101, 67), (224, 224), (300, 7), (2, 201))
NO_PICTURES = (b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", b"PK\3\4", b"\0" * 64, b"GIF89a")
# None of these sends a packet: a server takes no http URL unless it was told to.
ODD_DATA = ("", "data:", "data:,", "data:image/png;base64,", "data:image/png;base64,!", "data:;base64")
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


right_urls = st.sampled_from([picture for picture in PICTURES if picture[0] in TAKEN]).map(as_url)
damaged_urls = (damaged() | st.sampled_from([("PNG", data) for data in NO_PICTURES])).map(as_url)
odd_urls = st.sampled_from(ODD_DATA + ODD_HOSTS) | st.text(max_size=12)
urls = st.one_of(*[right_urls] * 8, damaged_urls, odd_urls)
