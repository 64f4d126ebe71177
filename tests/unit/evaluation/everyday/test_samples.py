"""The held-out scenes are those of their seeds, drawn."""

import pytest
from PIL import Image

from evaluation.everyday.questions import make_everyday_questions
from evaluation.everyday.samples import picture_of, read_samples
from evaluation.everyday.scene import make_everyday
from evaluation.failure import EvaluationError
from evaluation.sample import load_samples


def test_each_picture_is_of_its_scene_and_has_its_questions() -> None:
    samples = read_samples()
    seeds = sorted({one["scene"] for one in samples})
    assert seeds == list(range(len(seeds)))
    for seed in seeds:
        scene = make_everyday(seed)
        with Image.open(picture_of(seed)) as image:
            assert image.size == (round(scene.width * scene.enlargement), round(scene.height * scene.enlargement))
        written = [(one["task"], one["question"], one["answer"]) for one in samples if one["scene"] == seed]
        assert written == [(one.task, one.text, one.answer) for one in make_everyday_questions(scene)]


def test_samples_of_a_world_are_its_own() -> None:
    samples = load_samples(3, 1, "everyday")
    assert {sample.scene for sample in samples} == {1, 2, 3}
    assert not {sample.picture.digest for sample in samples} & {one.picture.digest for one in load_samples(4)}


def test_scenes_that_were_not_drawn_are_refused() -> None:
    with pytest.raises(EvaluationError, match=r"everyday.*ask for no others"):
        load_samples(1, 10**6, "everyday")
