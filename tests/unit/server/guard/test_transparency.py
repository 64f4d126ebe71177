"""What is transparent becomes white, and nothing else does, in every mode that has transparency."""

import io

import pytest
from PIL import Image

from gprune_server.guard.image_io import GuardedImageIO
from tests.support.png import COLOUR, COLOUR_ALPHA, GREY, GREY_ALPHA, PALETTE, png, transparent

WHITE = (255, 255, 255)
COLOURS = (b"PLTE", bytes((255, 0, 0, 0, 0, 255)))


def read(data: bytes, **options: object) -> list[tuple[int, ...]]:
    """The pixels that the model sees, row by row."""
    image = GuardedImageIO(1000, 10_000, **options).load_bytes(data).media
    assert image.mode == "RGB"
    return [image.getpixel((x, y)) for y in range(image.height) for x in range(image.width)]


def grey(*levels: int) -> list[tuple[int, ...]]:
    return [(level,) * 3 for level in levels]


@pytest.mark.parametrize(
    ("depth", "samples", "hidden", "seen"),
    [
        (1, [0, 1], 0, grey(255, 255)),
        (1, [0, 1], 1, grey(0, 255)),
        (2, [0, 1, 2, 3], 1, grey(0, 255, 170, 255)),
        (2, [0, 1, 2, 3], 0, grey(255, 85, 170, 255)),
        (4, [1, 8, 9, 0], 8, grey(17, 255, 153, 0)),
        (8, [9, 10, 11], 10, grey(9, 255, 11)),
        (8, [9, 10, 11], 0x310, grey(9, 10, 11)),
        (8, [9, 10, 11], 0x30A, grey(9, 255, 11)),
        (16, [0x0A00, 0x0A0B, 0x0A0C], 0x0A0B, grey(9, 255, 10)),
        (16, [0x8080, 0x0080, 0x0000], 0x0080, grey(128, 255, 0)),
    ],
)
def test_a_transparent_grey(depth: int, samples: list[int], hidden: int, seen: list[tuple[int, ...]]) -> None:
    assert read(png(depth, GREY, [samples], transparent(hidden))) == pytest.approx(seen, abs=depth == 16)


def test_a_transparent_colour() -> None:
    data = png(8, COLOUR, [[1, 2, 3, 1, 2, 4], [0, 2, 3, 1, 2, 3]], transparent(1, 2, 3))
    assert read(data) == [WHITE, (1, 2, 4), (0, 2, 3), WHITE]


def test_a_transparent_colour_of_sixteen_bits() -> None:
    hidden, near, far = (0x1234, 0x5678, 0x9ABC), (0x1234, 0x5678, 0x9ABD), (0x3412, 0x7856, 0xBC9A)
    data = png(16, COLOUR, [[*hidden, *near], [*far, *hidden]], transparent(*hidden))
    assert read(data) == [WHITE, (0x12, 0x56, 0x9A), (0x34, 0x78, 0xBC), WHITE]


@pytest.mark.parametrize("depth", [8, 16])
def test_pictures_are_turned_with_what_they_hide(depth: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = png(depth, COLOUR, [[1, 2, 3, 0, 0, 0]], transparent(1, 2, 3), (b"eXIf", exif.tobytes()[6:]))
    assert read(data) == [WHITE, (0, 0, 0)]
    data = png(depth, COLOUR, [[1, 2, 3], [0, 0, 0]], transparent(1, 2, 3), (b"eXIf", exif.tobytes()[6:]))
    assert read(data) == [(0, 0, 0), WHITE]


@pytest.mark.parametrize("depth", [1, 8])
@pytest.mark.parametrize(("alphas", "seen"), [(b"\0", WHITE), (b"\x80", (255, 127, 127)), (b"\xff\0", (255, 0, 0))])
def test_transparent_entries_of_a_palette(depth: int, alphas: bytes, seen: tuple[int, ...]) -> None:
    pixels = read(png(depth, PALETTE, [[0, 1]], COLOURS, (b"tRNS", alphas)))
    assert pixels == [seen, WHITE if len(alphas) > 1 else (0, 0, 255)]


@pytest.mark.parametrize("depth", [8, 16])
def test_channels_of_alpha(depth: int) -> None:
    most = 2**depth - 1
    assert read(png(depth, GREY_ALPHA, [[0, 0, 0, most, most // 3, most]])) == grey(255, 0, 85)
    assert read(png(depth, COLOUR_ALPHA, [[0, most, 0, 0, 0, most, 0, most]])) == [WHITE, (0, 255, 0)]


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_other_formats(kind: str) -> None:
    image = Image.new("RGBA", (16, 8), (255, 0, 0, 255))
    image.paste((0, 0, 255, 0), (0, 0, 8, 8))
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"lossless": True} if kind == "WEBP" else {}))
    pixels = read(buffer.getvalue())
    assert (pixels[0], pixels[-1]) == (WHITE, (255, 0, 0))


def test_the_background_that_a_trusted_client_asks_for() -> None:
    data = png(8, COLOUR, [[1, 2, 3, 4, 5, 6]], transparent(1, 2, 3))
    assert read(data, rgba_background_color=[7, 8, 9]) == [(7, 8, 9), (4, 5, 6)]
    configurations = [
        GuardedImageIO(1000, 10_000, rgba_background_color=colour).load_bytes(data).io_config
        for colour in ([0, 0, 0], [7, 8, 9])
    ]
    assert configurations[0] != configurations[1]  # cache keys contain them
