"""Questions have the answers that a look at the scene gives."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.scenes.questions import FAMILIES, MAKERS, ORDINALS, TASKS, Question, all_texts, make_questions
from evaluation.scenes.scene import Scene, Shape, make_scene

SCENES = st.integers(0, 10**9).map(make_scene)


def look(scene: Scene, question: Question) -> str:
    """The answer, worked out from the question's words."""
    words = question.text.rstrip("?").split()
    named = [shape for shape in scene.shapes if shape.kind in words and shape.colour in words]
    match question.task:
        case "reading":
            return scene.signs[0].word
        case "spelling":
            return scene.signs[0].word[ORDINALS.index(words[3])]
        case "colour":
            return next(shape.colour for shape in scene.shapes if shape.kind == words[-1])
        case "shape":
            return next(shape.kind for shape in scene.shapes if shape.colour == words[-1])
        case "existence":
            return "yes" if named else "no"
        case "counting":
            kind = "cross" if words[2] == "crosses" else words[2].removesuffix("s")
            return str(sum(kind in ("shape", shape.kind) for shape in scene.shapes))
        case "relation":
            return relation(scene.shapes, words)
        case _:
            raise AssertionError(question)


def relation(shapes: tuple[Shape, ...], words: list[str]) -> str:
    """Whether "Is the red star left of the blue cross" is so."""
    one, other = (
        next(shape for shape in shapes if [shape.colour, shape.kind] == words[at : at + 2])
        for at in (2, len(words) - 2)
    )
    holds = {"left": one.x < other.x, "right": one.x > other.x, "above": one.y < other.y, "below": one.y > other.y}
    return "yes" if holds[words[4]] else "no"


@given(SCENES, st.integers(0, 5))
def test_answers_are_right(scene: Scene, turn: int) -> None:
    questions = make_questions(scene, turn)
    assert questions == make_questions(scene, turn)
    for question in questions:
        assert question.answer == look(scene, question)


@pytest.fixture(scope="module")
def answers() -> dict[str, Counter[str]]:
    counted: dict[str, Counter[str]] = {task: Counter() for task in MAKERS}
    for seed in range(1500):
        for question in make_questions(make_scene(seed)):
            counted[question.task][question.answer] += 1
    return counted


@pytest.mark.parametrize("task", ["existence", "relation"])
def test_yes_is_as_likely_as_no(answers: dict[str, Counter[str]], task: str) -> None:
    assert set(answers[task]) == {"yes", "no"}
    assert 0.45 < answers[task]["yes"] / answers[task].total() < 0.55


def test_no_answer_is_right_without_looking(answers: dict[str, Counter[str]]) -> None:
    for task in MAKERS:
        assert answers[task].most_common(1)[0][1] / answers[task].total() < 0.56, task


def test_every_task_is_asked_and_belongs_to_one_family(answers: dict[str, Counter[str]]) -> None:
    assert all(answers[task].total() > 700 for task in MAKERS)
    assert sorted(task for tasks in FAMILIES.values() for task in tasks) == sorted(TASKS)


@given(SCENES, st.integers(0, 5))
def test_all_texts_are_told_to_the_tokenizer(scene: Scene, turn: int) -> None:
    words = {word for text in all_texts() for word in text.split()}
    for question in make_questions(scene, turn):
        assert set(question.text.split()) <= words
