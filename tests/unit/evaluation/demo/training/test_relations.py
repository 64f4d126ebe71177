"""What is told of places and sides is so."""

from dataclasses import replace

from evaluation.demo.training.labels import IGNORED, SIDE
from evaluation.demo.training.relations import place_of, relate, sides_of
from evaluation.scenes.scene import make_scene


def test_places_are_patches_of_the_base_crop() -> None:
    for seed in range(20):
        scene = make_scene(seed, "train")
        for shape in scene.shapes:
            column, row = place_of(shape, scene)
            assert abs((column + 0.5) * scene.width / SIDE - shape.x) <= scene.width / SIDE / 2
            assert abs((row + 0.5) * scene.height / SIDE - shape.y) <= scene.height / SIDE / 2


def test_no_side_is_told_of_shapes_that_are_about_level() -> None:
    one = make_scene(0, "train").shapes[0]
    assert sides_of(one, replace(one, x=one.x + 5, y=one.y - 60), True) == (IGNORED, 0, 1)
    assert sides_of(one, replace(one, x=one.x + 60, y=one.y + 5), False) == (1, IGNORED, 0)


def test_a_picture_with_one_shape_has_no_relations() -> None:
    assert relate(make_scene(0, "train", most_shapes=1)) == []
