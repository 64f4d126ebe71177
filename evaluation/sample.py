"""Questions about pictures, and the answers that are right."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from PIL import Image

from evaluation.everyday.samples import picture_of, read_samples
from evaluation.failure import EvaluationError
from evaluation.picture import Picture
from evaluation.scenes.drawing import draw
from evaluation.scenes.questions import FAMILIES, make_questions
from evaluation.scenes.scene import make_scene

FAMILY_OF: dict[str, str] = {task: family for family, tasks in FAMILIES.items() for task in tasks}
"""The family of each task."""
MAX_TOKENS = 8
"""Tokens that an answer may have."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A question about a scene."""

    scene: int
    picture: Picture
    task: str
    question: str
    answer: str


def load_samples(scenes: int, seed: int = 0, world: str = "shapes") -> list[Sample]:
    """All questions about a world's held-out scenes `seed` to `seed + scenes - 1`.

    Raises:
        EvaluationError: there are not so many.
    """
    return list(WORLDS[world](range(seed, seed + scenes)))


def _shapes(seeds: range) -> Iterator[Sample]:
    for seed in seeds:
        scene = make_scene(seed, "test")
        picture = Picture.of(draw(scene))
        for one in make_questions(scene):
            yield Sample(seed, picture, one.task, one.text, one.answer)


def _everyday(seeds: range) -> Iterator[Sample]:
    questions = groupby(read_samples(), lambda one: one["scene"])
    held_out = {seed: list(asked) for seed, asked in questions}
    if not held_out.keys() >= set(seeds):
        raise EvaluationError(f"the world 'everyday' has {len(held_out)} scenes, from 0 on: ask for no others")
    for seed in seeds:
        picture = Picture.of(Image.open(picture_of(seed)))
        for one in held_out[seed]:
            yield Sample(seed, picture, one["task"], one["question"], one["answer"])


WORLDS: Mapping[str, Callable[[range], Iterator[Sample]]] = {"shapes": _shapes, "everyday": _everyday}
"""What there are questions about: `evaluation.scenes` and `evaluation.everyday`."""
