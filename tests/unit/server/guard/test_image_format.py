"""Files that are no images, or of formats that are not taken, are called by their name."""

import base64
import io
import zipfile

import pytest
from PIL import Image, features

from gprune_server.guard.image_format import refusal

BOX = b"\0\0\0\x1cftyp"


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, kind)
    return buffer.getvalue()


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as written:
        written.writestr(zipfile.ZipInfo("a"), "b")
    return buffer.getvalue()


FILES = {
    "HEIC": [BOX + b"heic\0\0\0\0mif1heic", BOX + b"mif1\0\0\0\0mif1heic", BOX + b"msf1\0\0\0\0hevc"],
    "AVIF": [BOX + b"avif\0\0\0\0mif1avif", BOX + b"mif1\0\0\0\0mif1avif"],
    "an MP4 or QuickTime video": [BOX + b"isom\0\0\2\0isomiso2", BOX + b"qt  "],
    "BMP": [encoded("BMP")],
    "TIFF": [encoded("TIFF"), b"MM\0*"],
    "ICO": [encoded("ICO")],
    "JPEG 2000": [encoded("JPEG2000")],
    "JPEG XL": [b"\xff\x0a\0", b"\0\0\0\x0cJXL \r\n\x87\n"],
    "PSD": [b"8BPS\0\1"],
    "PDF": [b"%PDF-1.7", b"\n%PDF-1.4"],
    "SVG": [b"<svg/>", b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- a -->\n<!DOCTYPE svg>\n<svg xmlns=''>", b" <svg:svg>"],
    "HTML": [b"<!DOCTYPE html><p>", b"<HTML>", b"<!-- a -->\n<html lang='en'><svg/>", b"\n<head>"],
    "XML": [b"<?xml version='1.0'?><Error/>"],
    "JSON": [b'{"error": 1}', b"[]"],
    "a ZIP archive": [archive()],
    "gzip data": [b"\x1f\x8b\x08"],
    "a data: URL within a data: URL": [b"data:image/png;base64,AAAA"],
    "Base64 text: encode the file once, not twice": [
        base64.b64encode(encoded(kind)) for kind in ("PNG", "JPEG", "GIF")
    ],
    "text": [b"hello", "grüße".encode(), ("é" * 1000).encode()],
}


@pytest.mark.parametrize(("name", "data"), [(name, data) for name, several in FILES.items() for data in several])
def test_what_a_file_seems_to_be(name: str, data: bytes) -> None:
    message = refusal(data)
    assert f"it seems to be {name}." in message
    assert "takes JPEG, PNG, WebP and GIF. Convert it" in message


@pytest.mark.skipif(not features.check("avif"), reason="Pillow writes no AVIF here")
def test_a_real_avif() -> None:
    assert "AVIF" in refusal(encoded("AVIF"))


@pytest.mark.parametrize("data", [b"\0" * 100, b"\xff\xfe\xfd", bytes(range(256))])
def test_what_seems_to_be_nothing(data: bytes) -> None:
    assert "its format is unknown. This server takes" in refusal(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP", "GIF"])
def test_formats_that_are_taken_are_damaged(kind: str) -> None:
    assert f"it seems to be {kind}, but is damaged or cut off" in refusal(encoded(kind)[:40])


def test_nothing_is_called_empty() -> None:
    assert "it is empty. Send the file's content as data:image/png;base64," in refusal(b"")
