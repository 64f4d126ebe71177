"""Questions about everyday scenes, with the one right answer to each."""

import random
from collections.abc import Callable

from evaluation.everyday.scene import MOST_LINES, PICTOGRAMS
from evaluation.scenes.questions import APART, AXES, Question, make_relation, plural
from evaluation.scenes.scene import COLOURS, Scene

EXTREMES = {"at the top": ("y", 1), "at the bottom": ("y", -1), "on the left": ("x", 1), "on the right": ("x", -1)}
"""Axis and direction in which a place is looked for."""


def make_everyday_questions(scene: Scene, turn: int = 0) -> list[Question]:
    """The questions that the scene allows, none twice. The same scene and turn always give the same."""
    source = random.Random(f"everyday questions {turn} {scene.seed}")
    made = [make(scene, source) for make in MAKERS[scene.layout]]
    return list(dict.fromkeys(question for question in made if question))


def _sign(scene: Scene, source: random.Random) -> Question | None:
    return Question("reading", "What does the sign say?", scene.signs[0].word) if scene.signs else None


def read_all(scene: Scene) -> list[Question]:
    """A question for each line of a page, each bar of a chart, or each row of a table."""
    match scene.layout:
        case "page":
            lines = [sign for sign in scene.signs if not sign.word.isdigit()]
            return [Question("reading", f"What does line {line.owner} say?", line.word) for line in lines]
        case "chart":
            return [
                Question("value", f"What is the value of the {bar.colour} bar?", str(bar.value)) for bar in scene.bars
            ]
        case "table":
            return [Question("value", f"What number is beside the {sign.owner}?", sign.word) for sign in scene.signs]
        case _:
            return []


def _reading(scene: Scene, source: random.Random) -> Question | None:
    return source.choice(read_all(scene))


def _object(scene: Scene, source: random.Random) -> Question | None:
    """What is outermost in a direction, by far enough."""
    place, (axis, direction) = source.choice(sorted(EXTREMES.items()))
    ordered = sorted(scene.shapes, key=lambda shape: direction * getattr(shape, axis))
    near = [shape for shape in ordered if abs(getattr(shape, axis) - getattr(ordered[0], axis)) < APART]
    if len({shape.kind for shape in near}) != 1:
        return None
    return Question("object", f"What is {place}?", near[0].kind)


def _comparison(scene: Scene, source: random.Random) -> Question | None:
    end, pick = source.choice((("highest", max), ("lowest", min)))
    bar = pick(scene.bars, key=lambda bar: bar.value)
    return Question("comparison", f"Which bar is {end}?", bar.colour)


def _existence(scene: Scene, source: random.Random) -> Question | None:
    """Yes as often as no."""
    there = {shape.kind for shape in scene.shapes}
    if not there:
        return None
    return ask_existence(source.choice(sorted(there if source.random() < 0.5 else PICTOGRAMS.keys() - there)), there)


def _bar_existence(scene: Scene, source: random.Random) -> Question | None:
    there = {f"{bar.colour} bar" for bar in scene.bars}
    absent = {f"{colour} bar" for colour in COLOURS} - there
    return ask_existence(source.choice(sorted(there if source.random() < 0.5 or not absent else absent)), there)


def ask_existence(name: str, there: set[str]) -> Question:
    article = "an" if name[0] in "aeiou" else "a"
    return Question("existence", f"Is there {article} {name}?", "yes" if name in there else "no")


def _counting(scene: Scene, source: random.Random) -> Question | None:
    if not scene.shapes:
        return None
    if source.random() < 0.4:
        return Question("counting", "How many objects are there?", str(len(scene.shapes)))
    kind = source.choice(scene.shapes).kind
    return Question(
        "counting", f"How many {plural(kind)} are there?", str(sum(shape.kind == kind for shape in scene.shapes))
    )


def _lines(scene: Scene, source: random.Random) -> Question | None:
    return Question("counting", "How many lines are there?", str(len(scene.signs) // 2))


def _bars(scene: Scene, source: random.Random) -> Question | None:
    return Question("counting", "How many bars are there?", str(len(scene.bars)))


MAKERS: dict[str, tuple[Callable[[Scene, random.Random], Question | None], ...]] = {
    "street": (_sign, _object, _object, make_relation, make_relation, _existence, _counting),
    "page": (_reading, _reading, _lines),
    "chart": (_reading, _reading, _comparison, _comparison, _bar_existence, _bars),
    "table": (_reading, _reading, make_relation, make_relation, _existence),
}


def all_everyday_texts() -> list[str]:
    """Every question there can be, for the tokenizer to know their words, and answers but for words and numbers."""
    sides = [side for sides, _ in AXES for side in sides]
    bars = [f"{colour} bar" for colour in COLOURS]
    return [
        *(f"What does line {number} say?" for number in range(1, 1 + MOST_LINES)),
        *(f"What is the value of the {bar}?" for bar in bars),
        *(f"What number is beside the {kind}?" for kind in PICTOGRAMS),
        *(f"What is {place}?" for place in EXTREMES),
        *(f"Which bar is {end}?" for end in ("highest", "lowest")),
        *(f"Is the {kind} {side} the {kind}?" for kind in PICTOGRAMS for side in sides),
        *(ask_existence(name, set()).text for name in (*PICTOGRAMS, *bars)),
        *(f"How many {name} are there?" for name in (*map(plural, PICTOGRAMS), "objects", "lines", "bars")),
        *PICTOGRAMS,
    ]
