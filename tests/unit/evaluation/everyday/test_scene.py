"""Everyday scenes: the same each time, with everything in its place, and nothing to read across a seam."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from evaluation.everyday.scene import LAYOUTS, MOST_LINES, PICTOGRAMS, make_everyday
from evaluation.everyday.seams import cells_of
from evaluation.scenes.scene import COLOURS, GRIDS, Scene

SCENES = st.integers(0, 10**9).map(make_everyday)


def test_every_layout_is_made() -> None:
    assert {make_everyday(seed).layout for seed in range(50)} == set(LAYOUTS)


def test_what_is_held_out_is_not_trained_on() -> None:
    trained, held_out = (
        {
            repr((scene.signs, scene.shapes, scene.bars))
            for scene in (make_everyday(seed, split) for seed in range(1000))
        }
        for split in ("train", "test")
    )
    assert len(trained) == len(held_out) == 1000
    assert not trained & held_out


@given(SCENES)
def test_nothing_overlaps_or_is_cut_off(scene: Scene) -> None:
    assert make_everyday(scene.seed) == scene
    plates = [sign.box for sign in scene.signs if sign.plate]
    boxes = [*plates, *(shape.box for shape in scene.shapes), *(bar.box for bar in scene.bars)]
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= scene.width
        assert 0 <= top < bottom <= scene.height
    for one, other in combinations(boxes, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


@given(SCENES)
def test_each_word_and_number_is_within_one_crop(scene: Scene) -> None:
    for sign in scene.signs:
        last = sign.x + sign.pitch * (len(sign.word) - 1)
        assert any(
            left <= sign.x - 4 and last + 4 <= right and top <= sign.y - 5 and sign.y + 5 <= bottom
            for left, top, right, bottom in cells_of(scene.width, scene.height)
        )


def test_cells_cover_a_scene() -> None:
    for width, height in GRIDS:
        cells = cells_of(width, height)
        assert sum((right - left) * (bottom - top) for left, top, right, bottom in cells) == width * height


@given(SCENES)
def test_a_page_has_numbered_lines(scene: Scene) -> None:
    if scene.layout == "page":
        numbers = [sign.word for sign in scene.signs if sign.word.isdigit()]
        assert numbers == [str(number) for number in range(1, 1 + len(numbers))]
        assert len(numbers) <= MOST_LINES
        assert [sign.owner for sign in scene.signs if not sign.word.isdigit()] == numbers


@given(SCENES)
def test_a_chart_is_drawn_to_scale_and_says_its_values(scene: Scene) -> None:
    if scene.layout == "chart":
        heights = {bar.value: bar.box[3] - bar.box[1] for bar in scene.bars}
        assert sorted(heights.values()) == [heights[value] for value in sorted(heights)]
        assert {sign.owner: sign.word for sign in scene.signs} == {bar.colour: str(bar.value) for bar in scene.bars}
        assert {bar.colour for bar in scene.bars} <= COLOURS.keys()


@given(SCENES)
def test_a_table_has_a_number_for_each_pictogram(scene: Scene) -> None:
    if scene.layout == "table":
        kinds = [shape.kind for shape in scene.shapes]
        assert [sign.owner for sign in scene.signs] == kinds
        assert len(set(kinds)) == len(kinds)
        assert set(kinds) <= PICTOGRAMS.keys()
