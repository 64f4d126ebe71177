"""Scenes: the same each time, with everything in its place."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from evaluation.scenes.scene import COLOURS, SHAPES, Scene, make_scene

SCENES = st.integers(0, 10**9).map(make_scene)


@given(st.integers(), st.sampled_from(["train", "test"]))
def test_same_seed_same_scene(seed: int, split: str) -> None:
    assert make_scene(seed, split) == make_scene(seed, split)  # type: ignore[arg-type]


def test_what_is_held_out_is_not_trained_on() -> None:
    trained, held_out = (
        {repr(_content(make_scene(seed, split))) for seed in range(2000)} for split in ("train", "test")
    )
    assert len(trained) == len(held_out) == 2000
    assert not trained & held_out


def _content(scene: Scene) -> object:
    return scene.signs, scene.shapes


@given(SCENES)
def test_nothing_overlaps_or_is_cut_off(scene: Scene) -> None:
    boxes = [each.box for each in (*scene.signs, *scene.shapes)]
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= scene.width
        assert 0 <= top < bottom <= scene.height
    for one, other in combinations(boxes, 2):
        assert one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]


@given(SCENES)
def test_names_are_known(scene: Scene) -> None:
    assert all(shape.kind in SHAPES and shape.colour in COLOURS for shape in scene.shapes)
    assert all(3 <= len(sign.word) <= 5 for sign in scene.signs)


@given(st.integers(), st.integers(1, 3))
def test_a_grid_can_be_asked_for(seed: int, signs: int) -> None:
    scene = make_scene(seed, grid=(224, 112), signs=signs)
    assert (scene.width, scene.height) == (224, 112)
    assert len(scene.signs) <= signs
