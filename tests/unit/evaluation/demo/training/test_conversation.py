"""What is asked in training beside the questions of an evaluation, and where places are told."""

import random

import pytest
from tokenizers import Tokenizer

from evaluation.demo.training.conversation import Conversations, Lesson
from evaluation.demo.training.families import FAMILIES
from evaluation.demo.training.labels import IGNORED
from evaluation.demo.training.loop import made_ahead
from evaluation.demo.training.relations import SIDES, named_once, place_of, relate
from evaluation.demo.training.worlds import Shapes
from evaluation.scenes.questions import TASKS, make_questions, name_of
from evaluation.scenes.scene import Scene, make_scene


@pytest.fixture(scope="module")
def conversations() -> Conversations:
    return Conversations(FAMILIES["llava"](Shapes.texts), Shapes(), Lesson(rounds=2))


@pytest.fixture(scope="module")
def tokenizer(conversations: Conversations) -> Tokenizer:
    return conversations.tokenizer


@pytest.fixture
def scene() -> Scene:
    scenes = (make_scene(seed, "train", grid=(224, 224)) for seed in range(100))
    return next(scene for scene in scenes if len(named_once(scene)) > 3)


def test_a_place_is_told_where_the_name_of_a_shape_ends(
    conversations: Conversations, tokenizer: Tokenizer, scene: Scene
) -> None:
    told = set()
    for question in conversations.questions(scene):
        tokens, _ = conversations.turn(question)
        for end, place in enumerate(conversations.places(scene, tokens)):
            (shape,) = [one for one in named_once(scene) if place_of(one, scene) == place] or [None]
            assert (shape is None) == (place == (IGNORED, IGNORED))
            if shape:
                assert tokenizer.decode(tokens[: end + 1]).endswith(name_of(shape))
                told.add((question.task, shape))
    assert {task for task, _ in told} == {"relation", "existence"}
    assert {shape for _, shape in told} == set(named_once(scene))


def test_sides_are_what_questions_about_relations_ask_for(
    conversations: Conversations, tokenizer: Tokenizer, scene: Scene
) -> None:
    answers = set()
    for question in relate(scene):
        tokens, _ = conversations.turn(question)
        sides = conversations.sides(scene, tokens)
        (told,) = [end for end, side in enumerate(sides) if side != (IGNORED,) * SIDES]
        assert tokenizer.decode(tokens[: told + 1]).endswith(question.text.removesuffix("?").split(" the ")[-1])
        left, above, is_so = sides[told]
        sides_are = {"left of": left == 1, "right of": left == 0, "above": above == 1, "below": above == 0}
        (asked,) = [answer for side, answer in sides_are.items() if side in question.text]
        assert is_so == asked
        assert question.answer == ("yes" if asked else "no")
        answers.add(question.answer)
    assert answers == {"yes", "no"}


def test_many_relations_are_asked_about_and_none_twice(conversations: Conversations, scene: Scene) -> None:
    asked = conversations.questions(scene)
    assert len(set(asked)) == len(asked)
    assert set(make_questions(scene)) < set(asked)
    assert {question.task for question in asked} == {question.task for question in make_questions(scene)}
    assert len({question for question in asked if question in relate(scene)}) > 4


@pytest.mark.parametrize("most_shapes", [1, 5])
def test_a_lesson_begins_with_relations_where_there_are_any(conversations: Conversations, most_shapes: int) -> None:
    scenes = [make_scene(seed, "train", grid=(224, 224), most_shapes=most_shapes) for seed in range(4)]
    batch = conversations.assemble(scenes, random.Random(0), relations_only=True)
    for scene, tasks in zip(scenes, batch["tasks"], strict=True):
        asked = {TASKS[task] for task in tasks.tolist() if task >= 0}
        assert (asked == {"relation"}) == bool(relate(scene))
        assert asked
    assert batch["places"].shape == (*batch["tokens"].shape, 2)
    assert batch["sides"].shape == (*batch["tokens"].shape, SIDES)


def test_the_first_batches_are_of_relations() -> None:
    conversations = Conversations(FAMILIES["llava"](Shapes.texts), Shapes(), Lesson(scenes=2, relations=1))
    batches = made_ahead(conversations.batch, range(2), workers=1)
    first, second = ({TASKS[task] for task in batch["tasks"].unique().tolist() if task >= 0} for batch in batches)
    assert first <= second
    assert "reading" in second
