"""Questions about everyday scenes have the answers that a look at the scene gives."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from evaluation.everyday.questions import EXTREMES, all_everyday_texts, make_everyday_questions
from evaluation.everyday.scene import make_everyday
from evaluation.scenes.questions import TASKS, Question
from evaluation.scenes.scene import Scene

SCENES = st.integers(0, 10**9).map(make_everyday)
SIDES = {"left": ("x", 1), "right": ("x", -1), "above": ("y", 1), "below": ("y", -1)}


def look(scene: Scene, question: Question) -> str:
    """The answer, worked out from the question's words."""
    words = question.text.rstrip("?").split()
    written = {sign.owner: sign.word for sign in scene.signs}  # a line's number comes before its word
    match question.task:
        case "reading":
            return written[words[3]] if words[2] == "line" else written[""]
        case "value":
            return written[words[6] if words[-1] == "bar" else words[-1]]
        case "comparison":
            values = sorted((bar.value, bar.colour) for bar in scene.bars)
            return values[-1 if words[-1] == "highest" else 0][1]
        case "object":
            axis, direction = EXTREMES[" ".join(words[2:])]
            return min(scene.shapes, key=lambda shape: direction * getattr(shape, axis)).kind
        case "relation":
            one, other = (next(shape for shape in scene.shapes if shape.kind == kind) for kind in (words[2], words[-1]))
            axis, direction = SIDES[words[3]]
            return "yes" if direction * getattr(one, axis) < direction * getattr(other, axis) else "no"
        case "existence":
            there = [shape.kind for shape in scene.shapes] + [f"{bar.colour} bar" for bar in scene.bars]
            return "yes" if " ".join(words[3:]) in there else "no"
        case "counting":
            return str(count(scene, words[2]))
        case _:
            raise AssertionError(question)


def count(scene: Scene, what: str) -> int:
    match what:
        case "objects":
            return len(scene.shapes)
        case "lines":
            return sum(sign.word.isdigit() for sign in scene.signs)
        case "bars":
            return len(scene.bars)
        case _:
            return sum(what in (f"{shape.kind}s", f"{shape.kind}es") for shape in scene.shapes)


@given(SCENES, st.integers(0, 5))
def test_answers_are_right(scene: Scene, turn: int) -> None:
    questions = make_everyday_questions(scene, turn)
    assert questions == make_everyday_questions(scene, turn)
    assert len(set(questions)) == len(questions)
    for question in questions:
        assert question.answer == look(scene, question)


def test_no_answer_is_right_without_looking() -> None:
    answers: dict[str, Counter[str]] = {}
    for seed in range(2000):
        for question in make_everyday_questions(make_everyday(seed)):
            answers.setdefault(question.task, Counter())[question.answer] += 1
    assert set(answers) <= set(TASKS)
    for task, counted in answers.items():
        assert counted.total() > 300, task
        assert counted.most_common(1)[0][1] / counted.total() < 0.56, task


@given(SCENES, st.integers(0, 5))
def test_all_texts_are_told_to_the_tokenizer(scene: Scene, turn: int) -> None:
    words = {word for text in (*all_everyday_texts(), "What does the sign say?") for word in text.split()}
    for question in make_everyday_questions(scene, turn):
        assert set(question.text.split()) <= words
