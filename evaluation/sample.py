"""Questions about pictures, and the answers that are right."""

from dataclasses import dataclass

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


def load_samples(scenes: int, seed: int = 0) -> list[Sample]:
    """All questions about the held-out scenes `seed` to `seed + scenes - 1`."""
    samples = []
    for number in range(seed, seed + scenes):
        scene = make_scene(number, "test")
        picture = Picture.of(draw(scene))
        samples += [Sample(number, picture, one.task, one.text, one.answer) for one in make_questions(scene)]
    return samples
