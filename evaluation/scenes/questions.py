"""Questions about scenes, with the one right answer to each."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations
from typing import Literal, get_args

from evaluation.scenes.scene import COLOURS, SHAPES, Scene, Shape

Task = Literal[
    "reading", "spelling", "value", "colour", "shape", "object", "comparison", "relation", "existence", "counting"
]
TASKS: tuple[Task, ...] = get_args(Task)
FAMILIES: dict[str, tuple[Task, ...]] = {
    "fine-grained": ("reading", "spelling", "value"),
    "general": ("colour", "shape", "object", "comparison", "relation"),
    "hallucination": ("existence",),
    "counting": ("counting",),
}
"""Which of the paper's kinds of benchmark a task stands for: TextVQA, GQA, POPE and MME."""

ORDINALS = ("first", "second", "third", "fourth", "fifth")
AXES = ((("left of", "right of"), "x"), (("above", "below"), "y"))
APART = 32
"""Pixels by which two shapes must differ along an axis to be asked about."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question, as it is put to the model, and its answer, as the model is to give it."""

    task: Task
    text: str
    answer: str


def make_questions(scene: Scene, turn: int = 0) -> list[Question]:
    """One question of each task that the scene allows. The same scene and turn always give the same."""
    source = random.Random(f"questions {turn} {scene.seed}")
    questions = [make(scene, source) for make in MAKERS.values() if scene.shapes]
    return [question for question in questions if question]


def _reading(scene: Scene, source: random.Random) -> Question | None:
    if not scene.signs:
        return None
    return Question("reading", "What does the sign say?", scene.signs[0].word)


def _spelling(scene: Scene, source: random.Random) -> Question | None:
    letters = spell(scene)
    return source.choice(letters) if letters else None


def spell(scene: Scene) -> list[Question]:
    """A question for each letter of the sign."""
    return [
        Question("spelling", f"What is the {ordinal} letter on the sign?", letter)
        for sign in scene.signs[:1]
        for ordinal, letter in zip(ORDINALS, sign.word, strict=False)
    ]


def _colour(scene: Scene, source: random.Random) -> Question | None:
    kinds = Counter(shape.kind for shape in scene.shapes)
    single = [shape for shape in scene.shapes if kinds[shape.kind] == 1]
    if not single:
        return None
    shape = source.choice(single)
    return Question("colour", f"What colour is the {shape.kind}?", shape.colour)


def _shape(scene: Scene, source: random.Random) -> Question | None:
    colours = Counter(shape.colour for shape in scene.shapes)
    single = [shape for shape in scene.shapes if colours[shape.colour] == 1]
    if not single:
        return None
    shape = source.choice(single)
    return Question("shape", f"Which shape is {shape.colour}?", shape.kind)


def make_relation(scene: Scene, source: random.Random) -> Question | None:
    """Yes as often as no: the four sides of a pair are asked about alike."""
    names = Counter(name_of(shape) for shape in scene.shapes)
    single = [shape for shape in scene.shapes if names[name_of(shape)] == 1]
    sides, axis = source.choice(AXES)
    pairs = [
        (one, other)
        for one, other in permutations(single, 2)
        if abs(getattr(one, axis) - getattr(other, axis)) >= APART
    ]
    if not pairs:
        return None
    one, other = source.choice(pairs)
    side = source.choice(sides)
    is_so = (getattr(one, axis) < getattr(other, axis)) == (side == sides[0])
    return Question("relation", f"Is the {name_of(one)} {side} the {name_of(other)}?", "yes" if is_so else "no")


def _existence(scene: Scene, source: random.Random) -> Question | None:
    """Yes as often as no; half of what is not there has a colour and a kind that are, as in POPE's hardest split."""
    there = {name_of(shape) for shape in scene.shapes}
    if source.random() < 0.5:
        name = name_of(source.choice(scene.shapes))
    else:
        mixed = {f"{a.colour} {b.kind}" for a, b in permutations(scene.shapes, 2)} - there
        everything = {f"{colour} {kind}" for colour in COLOURS for kind in SHAPES} - there
        name = source.choice(sorted(mixed if mixed and source.random() < 0.5 else everything))
    article = "an" if name[0] in "aeiou" else "a"
    return Question("existence", f"Is there {article} {name}?", "yes" if name in there else "no")


def _counting(scene: Scene, source: random.Random) -> Question | None:
    if source.random() < 0.5:
        return Question("counting", "How many shapes are there?", str(len(scene.shapes)))
    kind = source.choice(scene.shapes).kind if source.random() < 0.8 else source.choice(SHAPES)
    count = sum(shape.kind == kind for shape in scene.shapes)
    return Question("counting", f"How many {plural(kind)} are there?", str(count))


def plural(kind: str) -> str:
    return kind + ("es" if kind.endswith("s") else "s")


def name_of(shape: Shape) -> str:
    return f"{shape.colour} {shape.kind}".lstrip()


MAKERS: dict[Task, Callable[[Scene, random.Random], Question | None]] = {
    "reading": _reading,
    "spelling": _spelling,
    "colour": _colour,
    "shape": _shape,
    "relation": make_relation,
    "existence": _existence,
    "counting": _counting,
}


def all_texts() -> list[str]:
    """Every question there can be, for the tokenizer to know their words, and answers but for words on signs."""
    names = [f"{colour} {kind}" for colour in COLOURS for kind in SHAPES]
    return [
        "What does the sign say?",
        *(f"What is the {ordinal} letter on the sign?" for ordinal in ORDINALS),
        *(f"What colour is the {kind}?" for kind in SHAPES),
        *(f"Which shape is {colour}?" for colour in COLOURS),
        *(f"Is the {name} {side} the {name}?" for name in names for sides, _ in AXES for side in sides),
        *(f"Is there {'an' if name[0] in 'aeiou' else 'a'} {name}?" for name in names),
        *(f"How many {plural(kind)} are there?" for kind in (*SHAPES, "shape")),
        *SHAPES,
        *COLOURS,
        "yes",
        "no",
    ]
