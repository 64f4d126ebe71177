"""PNG files written by hand, of every colour type and bit depth: Pillow writes few of them."""

import struct
import zlib
from collections.abc import Sequence

GREY, COLOUR, PALETTE, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 3, 4, 6
"""Colour types."""


def png(depth: int, kind: int, rows: Sequence[Sequence[int]], *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file.

    Args:
        depth: bits of a sample.
        kind: one of the colour types.
        rows: samples, pixel after pixel.
        chunks: names and contents of those in front of the pixels.
    """
    channels = {GREY: 1, COLOUR: 3, PALETTE: 1, GREY_ALPHA: 2, COLOUR_ALPHA: 4}[kind]
    header = struct.pack(">IIBBBBB", len(rows[0]) // channels, len(rows), depth, kind, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + _packed(row, depth) for row in rows))
    whole = ((b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*each) for each in whole)


def transparent(*samples: int) -> tuple[bytes, bytes]:
    """The chunk that names a transparent colour."""
    return b"tRNS", struct.pack(f">{len(samples)}H", *samples)


def _packed(row: Sequence[int], depth: int) -> bytes:
    bits = "".join(f"{sample:0{depth}b}" for sample in row)
    return int(bits.ljust(-len(bits) // 8 * -8, "0"), 2).to_bytes(-(-len(bits) // 8))


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
