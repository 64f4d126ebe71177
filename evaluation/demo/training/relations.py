"""What is asked and told about relations in training, beyond what an evaluation asks."""

import random
from collections import Counter

from evaluation.demo.training.labels import IGNORED, SIDE
from evaluation.scenes.questions import APART, AXES, MAKERS, Question, name_of
from evaluation.scenes.scene import Scene, Shape

Told = tuple[int, ...]
SIDES = 3
"""What is told of two shapes: whether one is left of the other, above it, and as the question says."""
RELATIONS = 16
"""Questions about relations that are put about a picture beyond those of its rounds."""


def named_once(scene: Scene) -> list[Shape]:
    """The shapes that colour and kind tell from all others."""
    names = Counter(name_of(shape) for shape in scene.shapes)
    return [shape for shape in scene.shapes if names[name_of(shape)] == 1]


def place_of(shape: Shape, scene: Scene) -> Told:
    """Column and row of the base crop's patch in which the middle of a shape is."""
    return int(shape.x * SIDE / scene.width), int(shape.y * SIDE / scene.height)


def sides_of(one: Shape, other: Shape, is_so: bool) -> Told:
    """Whether a shape is left of another, above it, and as a question says that it is. Where the two are about level
    nothing is to be told."""
    gaps = [getattr(other, axis) - getattr(one, axis) for _, axis in AXES]
    return *(int(gap > 0) if abs(gap) >= APART else IGNORED for gap in gaps), int(is_so)


def locate(scene: Scene) -> list[Question]:
    """Where the middle of each shape is, as column and row of the base crop's patches: what relations compare.

    Asked in training only. The tokenizer spells what it has no words for.
    """
    return [
        Question("relation", f"Where is the {name_of(shape)}?", "".join(map(str, place_of(shape, scene))))
        for shape in named_once(scene)
    ]


def relate(scene: Scene) -> list[Question]:
    """Several more questions about relations, none twice: one for a picture teaches too little to be learnt from."""
    source = random.Random(f"relations {scene.seed}")
    made = [MAKERS["relation"](scene, source) for _ in range(RELATIONS)]
    return list(dict.fromkeys(question for question in made if question))
