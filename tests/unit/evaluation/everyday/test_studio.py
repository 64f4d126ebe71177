"""Everyday pictures show what the scene says, also where no photographs and no emoji font are at hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from evaluation.everyday.scene import PICTOGRAMS, make_everyday
from evaluation.everyday.studio import Studio
from evaluation.scenes.scene import COLOURS, Scene

SCENES = st.integers(0, 10**9).map(make_everyday)
GREEN = (0, 255, 0)


@pytest.fixture(scope="module")
def studio() -> Studio:
    """A studio whose photographs are noise in red and blue, and whose pictograms are green."""
    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    noise[..., 1] = 0
    return Studio([Image.fromarray(noise)], {name: Image.new("RGBA", (80, 60), (*GREEN, 255)) for name in PICTOGRAMS})


@given(scene=SCENES)
def test_picture_is_as_large_as_asked_and_always_the_same(studio: Studio, scene: Scene) -> None:
    image = studio.draw(scene)
    assert image.size == (round(scene.width * scene.enlargement), round(scene.height * scene.enlargement))
    assert image.mode == "RGB"
    assert image.tobytes() == studio.draw(scene).tobytes()


@given(scene=SCENES)
def test_pictograms_and_bars_are_where_they_should_be(studio: Studio, scene: Scene) -> None:
    pixels = np.asarray(studio.draw(scene)).astype(int)
    for shape in scene.shapes:
        middle = pixels[int(shape.y * scene.enlargement), int(shape.x * scene.enlargement)]
        assert tuple(middle) == GREEN
    for bar in scene.bars:
        left, _, right, bottom = bar.box
        foot = pixels[int((bottom - 3) * scene.enlargement), int((left + right) / 2 * scene.enlargement)]
        assert abs(foot - np.array(COLOURS[bar.colour])).max() <= 14


@given(scene=SCENES)
def test_each_letter_stands_out(studio: Studio, scene: Scene) -> None:
    pixels = np.asarray(studio.draw(scene).convert("L")).astype(int)
    for sign in scene.signs:
        for place in range(len(sign.word)):
            x, y = sign.x + place * sign.pitch, sign.y
            top, bottom, left, right = (round(side * scene.enlargement) for side in (y - 7, y + 7, x - 6, x + 6))
            assert np.ptp(pixels[max(0, top) : bottom, max(0, left) : right]) > 90
