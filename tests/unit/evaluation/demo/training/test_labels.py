"""Labels say of each patch what it shows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evaluation.demo.checkpoint import CheckpointOptions, build_processor
from evaluation.demo.tokenizer import build_tokenizer
from evaluation.demo.training.labels import IGNORED, LETTERS, patch_labels
from evaluation.scenes.drawing import draw
from evaluation.scenes.scene import Scene, make_scene

SCENES = st.integers(0, 10**9).map(make_scene)


@given(SCENES)
def test_each_letter_is_in_one_patch_and_words_are_read_in_order(scene: Scene) -> None:
    labels = patch_labels(scene)
    seen = labels["letter"] > 0  # [crops, patches]
    assert int(seen.sum()) == sum(len(sign.word) for sign in scene.signs)
    for sign in scene.signs:
        letters = labels["letter"][seen][np.argsort(labels["place"][seen])]
        assert "".join(LETTERS[letter - 1] for letter in letters) == sign.word
    assert not (labels["place"][~seen] != IGNORED).any()
    assert (labels["letter"][0] == IGNORED).all()  # the whole picture in one crop is too small to read


@given(SCENES)
def test_each_shape_has_one_middle_in_the_whole_picture_and_one_in_the_grid(scene: Scene) -> None:
    middle = patch_labels(scene)["middle"]
    assert middle[0].sum() <= len(scene.shapes)  # two may share a patch
    assert middle[1:].sum() == len(scene.shapes)


@given(SCENES)
def test_there_are_as_many_crops_as_the_image_processor_cuts(scene: Scene) -> None:
    image_processor = build_processor(CheckpointOptions(), build_tokenizer()).image_processor
    crops = image_processor(draw(scene), return_tensors="pt").pixel_values.shape[1]
    assert all(label.shape == (crops, 64) for label in patch_labels(scene).values())
