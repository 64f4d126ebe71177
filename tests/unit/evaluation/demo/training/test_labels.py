"""Labels say of each patch what it shows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import unfold

from evaluation.demo.checkpoint import PATCH
from evaluation.demo.training.families import FAMILIES
from evaluation.demo.training.families.family import Family
from evaluation.demo.training.labels import IGNORED, LETTERS, Labels, patch_labels
from evaluation.demo.training.worlds import Shapes
from evaluation.scenes.drawing import draw
from evaluation.scenes.scene import COLOURS, Scene, make_scene

SCENES = st.integers(0, 10**9).map(make_scene)


@pytest.fixture(params=FAMILIES, scope="module")
def family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param](Shapes.texts)


def labels_of(family: Family, scene: Scene) -> Labels:
    return patch_labels(scene, family.views(scene, family.pixels([draw(scene)])["grids"][0]))


@given(scene=SCENES)
def test_each_letter_is_in_one_patch_and_words_are_read_in_order(family: Family, scene: Scene) -> None:
    labels = labels_of(family, scene)
    seen = labels["letter"] > 0  # [patches]
    assert int(seen.sum()) == sum(len(sign.word) for sign in scene.signs)
    for sign in scene.signs:
        letters = labels["letter"][seen][np.argsort(labels["place"][seen])]
        assert "".join(LETTERS[letter - 1] for letter in letters) == sign.word
    assert not (labels["place"][~seen] != IGNORED).any()


@given(scene=SCENES)
def test_each_shape_has_one_middle_in_the_whole_picture_and_one_in_the_grid(family: Family, scene: Scene) -> None:
    whole, *tiles = family.views(scene, family.pixels([draw(scene)])["grids"][0])
    assert patch_labels(scene, [whole])["middle"].sum() <= len(scene.shapes)  # two may share a patch
    if tiles:
        assert patch_labels(scene, tiles)["middle"].sum() == len(scene.shapes)


@given(scene=SCENES)
def test_a_patch_shows_the_colour_that_its_label_tells(family: Family, scene: Scene) -> None:
    """So labels are in the order of patches, and there is one for each."""
    labels, shown = labels_of(family, scene), colours(family, scene)
    assert len(shown) == len(labels["colour"])
    for patch in np.flatnonzero(labels["middle"]):
        colour = [*COLOURS.values()][labels["colour"][patch] - 1]
        assert np.abs(shown[patch] - colour).sum(axis=-1).min() < 80


def colours(family: Family, scene: Scene) -> NDArray[np.float64]:
    """Red, green and blue of each patch's pixels, `[patches, pixels, 3]`."""
    picture = draw(scene)
    black = patches(family, Image.new("RGB", picture.size, "black")).min(
        axis=(0, 1)
    )  # [3]; what pads crops is not black
    white = patches(family, Image.new("RGB", picture.size, "white")).max(axis=(0, 1))
    return (patches(family, picture) - black) / (white - black) * 255


def patches(family: Family, picture: Image.Image) -> NDArray[np.float64]:
    """What the tower sees of a picture, `[patches, pixels, 3]`."""
    pixels = family.pixels([picture])["pixels"]
    if pixels.ndim == 4:  # crops
        pixels = unfold(pixels, PATCH, stride=PATCH).swapaxes(1, 2).flatten(0, 1)  # [patches, 3 * pixels]
    seen: NDArray[np.float64] = pixels.unflatten(1, (3, -1)).swapaxes(1, 2).double().numpy()  # [patches, pixels, 3]
    return seen
