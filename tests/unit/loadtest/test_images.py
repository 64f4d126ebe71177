"""No image is sent twice."""

import base64
import random
from io import BytesIO
from itertools import islice

import pytest
from PIL import Image

from loadtest.images import generated


@pytest.mark.parametrize(("size", "kind"), [((32, 24), "PNG"), ((640, 480), "JPEG")])
def test_images_are_unique_and_the_same_for_the_same_seed(size: tuple[int, int], kind: str) -> None:
    urls = list(islice(generated(size, random.Random(0)), 20))
    assert len(set(urls)) == 20
    assert urls == list(islice(generated(size, random.Random(0)), 20))
    with Image.open(BytesIO(base64.b64decode(urls[0].partition(",")[2]))) as image:
        assert (image.size, image.format) == (size, kind)
