"""Variants of Base64 that mean one thing are taken; the others are refused by what is wrong with them."""

import base64
import textwrap
from collections.abc import Callable
from urllib.parse import quote

import pytest

from gprune_server.guard.data_url import standard_data_url
from gprune_server.guard.image_error import ImageError

DATA = bytes(range(256)) + b"\xfb\xff\xbe?"  # has + and / in Base64, and is padded
TEXT = base64.b64encode(DATA).decode()
assert {"+", "/", "="} <= {*TEXT}

VARIANTS: dict[str, Callable[[str], str]] = {
    "as it should be": str,
    "lines of base64(1)": lambda text: "\n".join(textwrap.wrap(text, 76)) + "\n",
    "lines of encodebytes": lambda _: base64.encodebytes(DATA).decode(),
    "lines of Windows": lambda text: "\r\n".join(textwrap.wrap(text, 64)),
    "indented lines": lambda text: "\n" + textwrap.indent("\n".join(textwrap.wrap(text, 64)), "    "),
    "no padding": lambda text: text.rstrip("="),
    "URL-safe": lambda _: base64.urlsafe_b64encode(DATA).decode(),
    "URL-safe without padding": lambda _: base64.urlsafe_b64encode(DATA).decode().rstrip("="),
    "percent-encoded": lambda text: quote(text, safe=""),
    "percent-encoded lines": lambda _: quote(base64.encodebytes(DATA).decode(), safe=""),
    "too much padding": lambda text: text + "==",
}
HEADERS = ("data:image/png;base64,", "DATA:image/png;BASE64,", "data:;base64,", "data:image/png;charset=x;Base64,")


@pytest.mark.parametrize("header", [*HEADERS, "data:image/png; base64,", "data:image/png%3Bbase64%2C", "data:base64,"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_that_mean_one_thing(variant: str, header: str) -> None:
    header, comma, text = standard_data_url(header + VARIANTS[variant](TEXT)).partition(",")
    assert (header[:5] + header[-7:], comma, text) == ("data:;base64", ",", TEXT)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("data:image/png;base64", "no comma"),
        ("data:image/png,abcd", "lacks ;base64"),
        ("data:image/svg+xml;utf8,<svg/>", "lacks ;base64"),
        ("data:,", "lacks ;base64"),
        ("data:image/png;base64,AAAA!AAA", "there is '!' at character 5 of its Base64"),
        ("data:image/png;base64,AA\u2026A", r"'\u2026' at character 3"),
        ("data:image/png;base64,AAA AAAA", "there is a space at character 4"),
        ("data:image/png;base64,AA==AAAA", "there is padding at character 3"),
        ("data:image/png;base64,AAAAA", "has 5 characters"),
        ("data:image/png;base64,data:image/png;base64,AAAA", "there is ':' at character 5"),
        ("data:image/png;base64,%252B", "there is '%' at character 1"),
    ],
)
def test_what_is_wrong_is_told(url: str, told: str) -> None:
    with pytest.raises(ImageError) as raised:
        standard_data_url(url)
    assert told in str(raised.value)


@pytest.mark.parametrize("filler", [" ", "=", "\n", "%", "-"])
def test_large_nonsense_takes_no_time_that_grows_faster_than_it(filler: str) -> None:
    with pytest.raises(ImageError):
        standard_data_url(f"data:image/png;base64,{filler * 1_000_000}A")
