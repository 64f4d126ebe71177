"""Batches for the second stage: pictures and conversations about them, as token ids."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import LlavaNextImageProcessor

from evaluation.demo.tokenizer import BEGIN, END, PAD, SPECIAL_TOKENS
from evaluation.demo.training.labels import IGNORED
from evaluation.demo.training.relations import SIDES, Told, locate, named_once, place_of, relate, sides_of
from evaluation.scenes.drawing import draw
from evaluation.scenes.questions import TASKS, Question, make_questions, name_of, spell
from evaluation.scenes.scene import GRIDS, Scene, Shape, make_scene

USER, ASSISTANT = SPECIAL_TOKENS.index("<|user|>"), SPECIAL_TOKENS.index("<|assistant|>")
SMALL_GRIDS = ((224, 112), (112, 224))
Turn = tuple[list[int], list[int]]


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


class Conversations:
    """Makes batches, each of pictures of one size, so that all have as many visual tokens."""

    def __init__(self, tokenizer: Tokenizer, image_processor: LlavaNextImageProcessor, lesson: Lesson) -> None:
        self.tokenizer = tokenizer
        self.image_processor = image_processor
        self.lesson = lesson

    def batch(self, number: int) -> dict[str, Any]:
        """The batch of that number, the same each time."""
        source = random.Random(f"lesson {number}")
        grid = source.choice(SMALL_GRIDS if number < self.lesson.small else GRIDS)
        seeds = range(number * self.lesson.scenes, (number + 1) * self.lesson.scenes)
        scenes = [make_scene(seed, "train", grid=grid) for seed in seeds]
        return self.assemble(scenes, grid, relations_only=number < self.lesson.relations)

    def assemble(self, scenes: list[Scene], grid: tuple[int, int], *, relations_only: bool = False) -> dict[str, Any]:
        """Pixels `[scenes, crops, 3, size, size]`, the grid, and `[scenes, num_tokens]` each: token ids, labels, and
        the numbers of the task and of the question that a token belongs to; `places`
        `[scenes, num_tokens, 2]` and `sides` `[scenes, num_tokens, SIDES]`."""
        pixels = [self.image_processor(draw(scene), return_tensors="pt").pixel_values for scene in scenes]
        questions = [(relations_only and relate(scene)) or self.questions(scene) for scene in scenes]
        turns = [[self.turn(question) for question in each] for each in questions]
        return {
            "pixels": torch.cat(pixels),
            "grid": grid,
            "tokens": _pad([[token for tokens, _ in each for token in tokens] for each in turns], PAD),
            "labels": _pad([[label for _, labels in each for label in labels] for each in turns], IGNORED),
            "tasks": _pad(
                [_repeated(map(_task, asked), each) for asked, each in zip(questions, turns, strict=True)], -1
            ),
            "turns": _pad([_repeated(count(), each) for each in turns], -1),
            "places": _pad(_told(self.places, scenes, turns), IGNORED, 2),
            "sides": _pad(_told(self.sides, scenes, turns), IGNORED, SIDES),
        }

    def questions(self, scene: Scene) -> list[Question]:
        """Several rounds of questions, none twice; and more of what takes longest: letters, places and relations."""
        rounds = [make_questions(scene, number) for number in range(self.lesson.rounds)]
        asked = [question for questions in rounds for question in questions]
        return list(dict.fromkeys([*asked, *spell(scene), *locate(scene), *relate(scene)]))

    def turn(self, question: Question) -> Turn:
        """Token ids from the picture's end to the answer's, and for each the next one if that is part of the answer."""
        asked = self.tokenizer.encode(f"\n{question.text}", add_special_tokens=False).ids
        answer = [*self.tokenizer.encode(question.answer, add_special_tokens=False).ids, END]
        return [*asked, ASSISTANT, *answer], [*[IGNORED] * len(asked), *answer, IGNORED]

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


def _task(question: Question) -> int:
    return TASKS.index(question.task)


def _repeated(numbers: Iterable[int], turns: list[Turn]) -> list[int]:
    """Each turn's number, once for each of its tokens."""
    return [number for number, (tokens, _) in zip(numbers, turns, strict=False) for _ in tokens]


def _pad(rows: Any, value: int, *shape: int) -> torch.Tensor:
    """Rows of integers, or of tuples of them of that shape, as long as the longest. A row may be empty."""
    tensors = [torch.tensor(row, dtype=torch.int64).reshape(len(row), *shape) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)


PREFIX = (BEGIN, USER)
"""Token ids before the picture."""
