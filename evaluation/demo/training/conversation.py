"""Batches for the second stage: pictures and conversations about them, as token ids."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch

from evaluation.demo.tokenizer import BEGIN, END, PAD, SPECIAL_TOKENS
from evaluation.demo.training.families.family import Family
from evaluation.demo.training.labels import IGNORED
from evaluation.demo.training.relations import SIDES, Told, named_once, place_of, relate, sides_of
from evaluation.demo.training.worlds import World
from evaluation.scenes.questions import TASKS, Question, name_of
from evaluation.scenes.scene import ENLARGEMENTS, GRIDS, SMALL_GRIDS, Scene, Shape

SYSTEM, USER, ASSISTANT = (SPECIAL_TOKENS.index(f"<|{role}|>") for role in ("system", "user", "assistant"))
Turn = tuple[list[int], list[int]]
"""Token ids of a question and its answer, and for each token the next one if that is part of the answer."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What batches are made of: `scenes` pictures each, all of one grid, and for each up to `rounds` of questions.

    The first `small` batches are of small grids only: reading is learnt sooner where there is less to look at. The
    first `relations` batches ask about relations only, where there are any: they are hardly learnt among others.
    """

    scenes: int = 16
    rounds: int = 2
    small: int = 0
    relations: int = 0


TURNS = (1, 1, 2, 3)
"""Turns of a conversation, each as likely."""
CONTEXTS = (
    "You are a helpful assistant.",
    "You are a helpful assistant that describes pictures. Answer in one word.",
    "Answer the question about the picture.",
    "Answer with one word or letter only, and say nothing else.",
    "You see a picture of a sign and some coloured shapes. Look carefully before you answer!",
    "Today is Monday, 2 March 2026. The user is in Berlin, and prefers short answers in English.",
    "Hello!",
    "Hi, what can you do?",
    "OK",
    "I will send you a picture now.",
    "Please go on.",
)


class Conversations:
    """Makes batches, each of pictures of one size, so that all have as many visual tokens."""

    def __init__(self, family: Family, world: World, lesson: Lesson) -> None:
        self.family = family
        self.world = world
        self.tokenizer = family.tokenizer
        self.lesson = lesson

    def batch(self, number: int) -> dict[str, Any]:
        """The batch of that number, the same each time."""
        source = random.Random(f"lesson {number}")
        grid = source.choice(SMALL_GRIDS if number < self.lesson.small else GRIDS)
        enlargement = source.choice(ENLARGEMENTS)
        seeds = range(number * self.lesson.scenes, (number + 1) * self.lesson.scenes)
        scenes = [replace(scene, enlargement=enlargement) for scene in self.world.scenes(seeds, grid, source)]
        return self.assemble(scenes, source, relations_only=number < self.lesson.relations)

    def assemble(self, scenes: list[Scene], source: random.Random, *, relations_only: bool = False) -> dict[str, Any]:
        """`Pixels` of scenes of one size; `prefix`, the token ids before the picture; and `[scenes, num_tokens]` each:
        token ids, labels, and the numbers of the task and of the conversation that a token belongs to; `places`
        `[scenes, num_tokens, 2]` and `sides` `[scenes, num_tokens, SIDES]`."""
        asked = [(relations_only and relate(scene)) or self.questions(scene) for scene in scenes]
        lengths = [_lengths(len(questions), source) for questions in asked]
        turns = [
            [self.turn(question, first) for question, first in zip(questions, _firsts(each), strict=True)]
            for questions, each in zip(asked, lengths, strict=True)
        ]
        conversations = [[number for number, length in enumerate(each) for _ in range(length)] for each in lengths]
        return {
            **self.family.pixels([self.world.draw(scene) for scene in scenes]),
            "prefix": torch.tensor([BEGIN, *self.context(source), USER, *self.family.before]),
            "tokens": _pad([[token for tokens, _ in each for token in tokens] for each in turns], PAD),
            "labels": _pad([[label for _, labels in each for label in labels] for each in turns], IGNORED),
            "tasks": _pad(
                [_repeated(map(_task, questions), each) for questions, each in zip(asked, turns, strict=True)], -1
            ),
            "turns": _pad([_repeated(each, held) for each, held in zip(conversations, turns, strict=True)], -1),
            "places": _pad(_told(self.places, scenes, turns), IGNORED, 2),
            "sides": _pad(_told(self.sides, scenes, turns), IGNORED, SIDES),
        }

    def context(self, source: random.Random) -> list[int]:
        """Token ids before the user's message with the picture: often nothing, a system prompt or an earlier exchange.

        They say nothing that matters, and are there for the model to learn just that.
        """
        said, answered = (self._encode(source.choice(CONTEXTS)) for _ in range(2))
        exchange = [USER, *said, ASSISTANT, *answered, END]
        return source.choice(([], [], [SYSTEM, *said], exchange))

    def questions(self, scene: Scene) -> list[Question]:
        """The world's questions, none twice."""
        return list(dict.fromkeys(self.world.questions(scene, self.lesson.rounds)))

    def turn(self, question: Question, first: bool = True) -> Turn:
        """A question and its answer, the first one about a picture or one that follows."""
        before = [*self.family.after, *self._encode("\n")] if first else [USER]
        asked = [*before, *self._encode(question.text)]
        answer = [*self._encode(question.answer), END]
        return [*asked, ASSISTANT, *answer], [*[IGNORED] * len(asked), *answer, IGNORED]

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def named(self, scene: Scene, tokens: list[int]) -> list[tuple[int, Shape]]:
        """The shapes that a turn names, in order, and the token that each name ends with."""
        found = []
        for shape in named_once(scene):
            name = self.tokenizer.encode(f" {name_of(shape)}", add_special_tokens=False).ids
            ends = range(len(name), len(tokens) + 1)
            found += [(end - 1, shape) for end in ends if tokens[end - len(name) : end] == name]
        return sorted(found, key=lambda each: each[0])

    def places(self, scene: Scene, tokens: list[int]) -> list[Told]:
        """For each token of a turn column and row of the shape whose name ends there."""
        places: list[Told] = [(IGNORED,) * 2] * len(tokens)
        for end, shape in self.named(scene, tokens):
            places[end] = place_of(shape, scene)
        return places

    def sides(self, scene: Scene, tokens: list[int]) -> list[Told]:
        """For the token of a turn where a second name ends on which side of the second shape the first is."""
        sides: list[Told] = [(IGNORED,) * SIDES] * len(tokens)
        is_so = tokens[-2] == self.tokenizer.token_to_id("yes")
        for (_, one), (end, other) in pairwise(self.named(scene, tokens)):
            sides[end] = sides_of(one, other, is_so)
        return sides


def _told(
    tell: Callable[[Scene, list[int]], list[Told]], scenes: list[Scene], turns: list[list[Turn]]
) -> list[list[Told]]:
    """What is told of each token of all turns, for each scene."""
    return [
        [each for tokens, _ in asked for each in tell(scene, tokens)]
        for scene, asked in zip(scenes, turns, strict=True)
    ]


def _lengths(questions: int, source: random.Random) -> list[int]:
    """Turns of each of the conversations in which so many questions are put."""
    lengths = []
    while questions:
        lengths.append(min(questions, source.choice(TURNS)))
        questions -= lengths[-1]
    return lengths


def _firsts(lengths: list[int]) -> list[bool]:
    """Of each question whether it begins a conversation."""
    return [place == 0 for length in lengths for place in range(length)]


def _task(question: Question) -> int:
    return TASKS.index(question.task)


def _repeated(numbers: Iterable[int], turns: list[Turn]) -> list[int]:
    """Each turn's number, once for each of its tokens."""
    return [number for number, (tokens, _) in zip(numbers, turns, strict=False) for _ in tokens]


def _pad(rows: Any, value: int, *shape: int) -> torch.Tensor:
    """Rows of integers, or of tuples of them of that shape, as long as the longest. A row may be empty."""
    tensors = [torch.tensor(row, dtype=torch.int64).reshape(len(row), *shape) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)
