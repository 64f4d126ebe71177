"""Images are new ones, unless they are to be known."""

import base64
import random
from io import BytesIO
from itertools import islice
from pathlib import Path

import pytest
from PIL import Image

from loadtest.failure import LoadTestError
from loadtest.images import generated, given, repeated


def decoded(url: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(url.partition(",")[2])))


def test_generated_images_are_unique_and_take_sizes_by_turns() -> None:
    urls = list(islice(generated([(32, 24), (640, 480)], random.Random(0)), 40))
    assert len(set(urls)) == 40
    assert [decoded(url).size for url in urls[:3]] == [(32, 24), (640, 480), (32, 24)]
    assert urls == list(islice(generated([(32, 24), (640, 480)], random.Random(0)), 40))


def test_repeated_images_come_by_turns() -> None:
    urls = list(islice(repeated(generated([(8, 8)], random.Random(0)), 3), 9))
    assert len(set(urls)) == 3
    assert urls[:3] == urls[3:6] == urls[6:]


def test_given_images_are_sent_as_they_are(tmp_path: Path) -> None:
    Image.new("RGB", (5, 3), "teal").save(tmp_path / "b.png")
    Image.new("RGB", (6, 4), "teal").save(tmp_path / "a.jpg")
    (tmp_path / "notes.txt").write_text("no image")
    first, second, third = islice(given(tmp_path), 3)
    assert (decoded(first).size, decoded(second).size, third) == ((6, 4), (5, 3), first)
    assert base64.b64decode(second.removeprefix("data:image/png;base64,")) == (tmp_path / "b.png").read_bytes()


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadTestError, match="no images"):
        given(tmp_path)
