"""Images are new ones, unless they are to be known."""

import base64
import random
from io import BytesIO
from itertools import islice
from pathlib import Path

import pytest
from PIL import Image

from evaluation.failure import EvaluationError
from loadtest.images import generated, given, repeated
from loadtest.workload import Workload


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
    with pytest.raises(EvaluationError, match="no images"):
        given(tmp_path)


def test_mixed_ratios_come_equally_often() -> None:
    workload = Workload("tiny", generated([(8, 8)], random.Random(0)), prompts=("one", "two"), fields={"seed": 1})
    requests = workload.requests(12, (None, 0.0, 0.7), random.Random(0))
    asked = [request.prune_ratio for request in requests]
    assert sorted(asked, key=str) == [0.0] * 4 + [0.7] * 4 + [None] * 4
    assert asked != [None, 0.0, 0.7] * 4
    assert [b'"prune_ratio": 0.7' in request.content for request in requests] == [ratio == 0.7 for ratio in asked]
    assert [b"prune_ratio" in request.content for request in requests] == [ratio is not None for ratio in asked]
    assert [b'"two"' in request.content for request in requests] == [False, True] * 6
    assert len({request.content for request in requests}) == 12
    assert all(b'"seed": 1' in request.content for request in requests)


def test_text_alone_can_be_asked_about() -> None:
    (request,) = Workload("tiny", iter(()), images_per_request=0).requests(1, (None,), random.Random(0))
    assert request.images == 0
    assert b"image_url" not in request.content
