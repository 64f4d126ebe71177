"""Pictures show what the scene says."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evaluation.scenes.drawing import draw
from evaluation.scenes.scene import COLOURS, Scene, make_scene

SCENES = st.integers(0, 10**9).map(make_scene)


@given(SCENES)
def test_picture_is_as_large_as_asked_and_always_the_same(scene: Scene) -> None:
    image = draw(scene)
    assert image.size == (round(scene.width * scene.enlargement), round(scene.height * scene.enlargement))
    assert image.mode == "RGB"
    assert image.tobytes() == draw(scene).tobytes()


@given(SCENES)
def test_shapes_have_their_colour_in_their_middle(scene: Scene) -> None:
    pixels = np.asarray(draw(scene)).astype(int)
    for shape in scene.shapes:
        middle = pixels[int(shape.y * scene.enlargement), int(shape.x * scene.enlargement)]
        nearest = min(COLOURS, key=lambda colour: int(abs(middle - np.array(COLOURS[colour])).sum()))
        assert nearest == shape.colour


@given(SCENES)
def test_each_letter_is_on_its_plate(scene: Scene) -> None:
    pixels = np.asarray(draw(scene).convert("L")).astype(int)
    for sign in scene.signs:
        for place in range(len(sign.word)):
            x, y = sign.x + place * sign.pitch, sign.y
            top, bottom, left, right = (round(side * scene.enlargement) for side in (y - 8, y + 8, x - 7, x + 7))
            assert np.ptp(pixels[top:bottom, left:right]) > 100  # the letter against its plate
