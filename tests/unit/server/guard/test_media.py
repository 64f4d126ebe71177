"""Images from untrusted clients: served right, or refused with an error that names the field."""

import asyncio
import base64
import io
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from vllm.exceptions import VLLMClientError, VLLMValidationError

from gprune_server.guard.connection import address_rule, shared_connection
from gprune_server.guard.limits import shared_limits
from gprune_server.guard.media import GuardedMediaConnector
from tests.unit.server.guard.site import Site

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 40, 3), dtype=np.uint8))
MILLION = 1_000_000


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Settings read anew from this test's environment."""
    monkeypatch.setenv("GPRUNE_MEDIA_FETCH_SECONDS", "2")
    monkeypatch.setenv("VLLM_MEDIA_FETCH_MAX_RETRIES", "1")
    _forget()
    yield monkeypatch
    _forget()


def _forget() -> None:
    for cached in (shared_limits, address_rule, shared_connection):
        cached.cache_clear()


def fetch(url: str, **options: Any) -> Image.Image:
    """The picture of a URL, as a server's request gets it."""

    async def inside() -> Image.Image:
        connector = GuardedMediaConnector(**options)
        try:
            loaded = await connector.fetch_image_async(url)
            assert isinstance(loaded.media, Image.Image)
            return loaded.media
        finally:
            if connector.connection._async_client is not None:
                await connector.connection._async_client.close()

    return asyncio.run(inside())


def refused(url: str, message: str, **options: Any) -> None:
    with pytest.raises(VLLMClientError, match=message) as error:
        fetch(url, **options)
    assert error.value.parameter == "image_url"  # type: ignore[attr-defined]


# Pictures


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_formats_of_the_api_are_taken(kind: str) -> None:
    image = fetch(data_url(encoded(PICTURE, kind)))
    assert (image.mode, image.size) == ("RGB", PICTURE.size)


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "ICO", "PPM", "TGA", "JPEG2000", "PCX"])
def test_other_formats_are_refused(kind: str) -> None:
    refused(data_url(encoded(PICTURE, kind)), "cannot be read")


@pytest.mark.parametrize("data", [b"", b"<svg/>", b"%PDF-1.4", b"\x00" * 100, b"GIF89a", encoded(PICTURE)[:80]])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    refused(data_url(data), "cannot be read")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_truncated_picture_is_refused(kind: str) -> None:
    data = encoded(PICTURE, kind)
    refused(data_url(data[: len(data) * 2 // 3]), "cannot be read")


@pytest.mark.parametrize(
    "url", ["data:image/png;base64", "data:image/png,abc", "data:;base64,@@@", "ftp://x", "nonsense"]
)
def test_a_malformed_url_is_refused(url: str) -> None:
    refused(url, "cannot be read")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (base64.b64encode(encoded(PICTURE)).decode(), "it is bare Base64, not a URL"),
        (base64.encodebytes(encoded(PICTURE)).decode(), "it is bare Base64, not a URL"),
        ("", "its URL is empty"),
        (" \n", "its URL is empty"),
        ("picture.png", "neither data: nor http"),
        ("C:\\picture.png", "neither data: nor http"),
        ("data:image/png;base64,", "it is empty"),
    ],
)
def test_what_a_url_looks_like_is_told(url: str, told: str) -> None:
    refused(url, f"{told}.*data:image/png;base64,")


def test_lines_of_base64_and_white_space_around_it_are_taken() -> None:
    lines = base64.encodebytes(encoded(PICTURE)).decode()
    assert fetch(f" data:image/png;base64,{lines}\n").tobytes() == PICTURE.tobytes()


@pytest.mark.parametrize(
    "data", [b"", b"<svg/>", b"\0", encoded(PICTURE)[:80], encoded(PICTURE, "JPEG")[:-99]], ids=len
)
def test_errors_show_nothing_of_the_insides_and_hold_the_url(data: bytes) -> None:
    with pytest.raises(VLLMValidationError) as raised:
        fetch(data_url(data))
    assert raised.value.value == data_url(data)
    assert not set("<>()") & set(str(raised.value))


def test_sixteen_bits_are_scaled_to_eight() -> None:
    levels = np.linspace(0, 65535, 24 * 40).reshape(24, 40).astype(np.uint16)
    image = np.asarray(fetch(data_url(encoded(Image.fromarray(levels)))))
    assert abs(image[..., 0].astype(int) - levels // 257).max() <= 1


def test_transparency_becomes_white() -> None:
    image = fetch(data_url(encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 0)))))
    assert image.getpixel((4, 4)) == (255, 255, 255)


def test_inks_become_colours() -> None:
    image = fetch(data_url(encoded(PICTURE.convert("CMYK"), "JPEG")))
    assert (image.mode, image.size) == ("RGB", PICTURE.size)


def test_a_picture_is_turned_as_its_camera_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert fetch(data_url(encoded(PICTURE, "JPEG", exif=exif))).size == PICTURE.size[::-1]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_picture_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    red, green, blue = fetch(data_url(data)).getpixel((8, 8))  # type: ignore[misc]
    assert red > 200 > green + blue


# Sizes


def test_a_single_pixel_is_taken() -> None:
    assert fetch(data_url(encoded(Image.new("RGB", (1, 1))))).size == (1, 1)


@pytest.mark.parametrize("size", [(1000, 1), (1, 1000)])
def test_what_is_too_narrow_is_refused(size: tuple[int, int]) -> None:
    refused(data_url(encoded(Image.new("RGB", size))), "its longer side may be")


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\x00")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [6000, 60_000])
def test_too_many_pixels_are_refused_before_decoding(side: int) -> None:
    refused(data_url(bomb(side, side)), "pixels|cannot be read")


def test_too_many_bytes_are_refused(fresh: pytest.MonkeyPatch) -> None:
    fresh.setenv("GPRUNE_MAX_IMAGE_BYTES", "1000")
    _forget()
    refused(data_url(encoded(PICTURE)), "--max-image-bytes")


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF"]), st.data())
def test_damaged_pictures_are_served_or_refused(kind: str, data: st.DataObject) -> None:
    damaged = bytearray(encoded(PICTURE, kind))
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    _served_or_refused(bytes(damaged))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_served_or_refused(data: bytes) -> None:
    _served_or_refused(data)


def _served_or_refused(data: bytes) -> None:
    try:
        mode = fetch(data_url(data)).mode
    except VLLMValidationError as error:
        mode = {"image_url": "RGB"}[str(error.parameter)]
    assert mode == "RGB"


# Fetching. All servers are on the loopback interface.


@pytest.fixture
def site() -> Iterator[Site]:
    with Site(encoded(PICTURE)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.done.set()
        server.shutdown()


@pytest.fixture
def loopback(fresh: pytest.MonkeyPatch) -> Callable[..., Image.Image]:
    """Fetching by an operator who permitted this machine."""
    fresh.setenv("GPRUNE_MEDIA_NETWORKS", "127.0.0.0/8,::1/128")
    fresh.setenv("GPRUNE_MAX_IMAGE_BYTES", str(3 * MILLION))
    _forget()
    return lambda url: fetch(url, allowed_media_domains=["localhost"])


def test_urls_are_refused_unless_their_domain_is_named(site: Site) -> None:
    refused(site.url("/picture"), "--allowed-media-domains")
    refused(site.url("/picture"), "cannot be read", allowed_media_domains=["example.com"])
    assert site.asked == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "0x7f.1", "2130706433", "127.1", "[::1]"])
def test_a_named_domain_at_a_private_address_is_refused(site: Site, host: str) -> None:
    refused(
        site.url("/picture", host),
        "public address|ambiguous|Invalid URL",
        allowed_media_domains=[host, host.strip("[]")],
    )
    assert site.asked == []


def test_the_operators_own_network_is_permitted(site: Site, loopback: Callable[..., Image.Image]) -> None:
    assert loopback(site.url("/picture")).tobytes() == PICTURE.tobytes()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/missing", "HTTP 404"),
        ("/broken", "cannot be fetched"),
        ("/slow", "cannot be fetched"),
        ("/elsewhere", "redirects"),
        ("/endless", "cannot be read|--max-image-bytes"),
    ],
)
def test_trouble_is_the_clients_error(
    site: Site, loopback: Callable[..., Image.Image], path: str, message: str
) -> None:
    with pytest.raises(VLLMClientError, match=message) as error:
        loopback(site.url(path))
    assert error.value.parameter == "image_url"  # type: ignore[attr-defined]
    assert site.asked == [path]


def test_nothing_listening_is_the_clients_error(loopback: Callable[..., Image.Image]) -> None:
    with pytest.raises(VLLMClientError, match="cannot be fetched"):
        loopback("http://localhost:1/picture")


@pytest.mark.parametrize("path", ["/etc/passwd", "///etc/passwd", "//localhost/etc/passwd"])
def test_files_of_the_server_are_out_of_reach(path: str) -> None:
    refused(f"file:{path}", "cannot be read")


def test_nothing_is_fetched_outside_a_server(site: Site) -> None:
    with pytest.raises(VLLMClientError, match="only inside a server"):
        GuardedMediaConnector(allowed_media_domains=["localhost"]).fetch_image(site.url("/picture"))
