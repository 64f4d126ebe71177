"""An image that left the encoder cache keeps its tokens: the prefix cache may hold keys and values of some of them.

The demo model's tower gave the same bits in batches of all sizes on the CPUs that were tried. So the tests have them
depend on the batch, by no more than bfloat16 rounds by.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from evaluation.demo import DEMO_MODEL
from gprune_vllm.adapter import model as adapter
from gprune_vllm.adapter.choices import ChoiceMemory
from tests.support import photos
from tests.support.engine import Engine, engine
from tests.support.families.llava_next import LlavaNextOracle
from tests.support.oracle import Oracle
from tests.support.rounding import rounded_otherwise

pytestmark = pytest.mark.xdist_group("engines")

RATIO, BLOCK, PICTURES = 0.7, 32, 8
OTHERS = [photos.generated(230, 170, seed=100 + number) for number in range(8)]
Choices = dict[Any, list[list[int]]]
"""Tokens that stay, each time that an image is encoded, by its plan and digest."""


@pytest.fixture(scope="module")
def asked() -> Iterator[Engine]:
    """An engine whose encoder cache has room for two unpruned images, with a tower that rounds by the batch."""
    options = {"dtype": "bfloat16", "max_num_batched_tokens": 512, "block_size": BLOCK, "enable_prefix_caching": True}
    batches = count()
    with engine(DEMO_MODEL, **options) as running:
        running.model.vision_tower.register_forward_hook(
            lambda tower, crops, features: rounded_otherwise(features, next(batches))
        )
        yield running


@pytest.fixture(scope="module")
def second_opinion() -> Oracle:
    return LlavaNextOracle(DEMO_MODEL)


def encode_twice(
    asked: Engine, second_opinion: Oracle, monkeypatch: pytest.MonkeyPatch, first: int
) -> tuple[Choices, int]:
    """Ask about images one by one, and when they have left the encoder cache about all of them at once.

    Returns:
        What stayed of them, and how many selections were made.
    """
    choices: Choices = {}
    selected: list[object] = []
    select, select_groups = adapter.PruningModel.select, adapter.select_groups

    def watched(model: Any, features: Any, seen: Any, image: Any) -> Any:
        selections = select(model, features, seen, image)
        choices.setdefault(image, []).append([place for each in selections for place in each.index.tolist()])
        return selections

    def counted(*arguments: Any, **options: Any) -> Any:
        selected.append(arguments)
        return select_groups(*arguments, **options)

    monkeypatch.setattr(adapter.PruningModel, "select", watched)
    monkeypatch.setattr(adapter, "select_groups", counted)
    images = [photos.generated(230, 170, seed=number) for number in range(first, first + PICTURES)]
    for image in images:
        asked.ask_together(second_opinion.chat(image, "What is it?"), [(image, RATIO)], max_tokens=1)
    for image in OTHERS:
        asked.ask_together(second_opinion.chat(image, "And this?"), [(image, 0.0)], max_tokens=1)
    answers = asked.ask_together(
        second_opinion.chat(images[0], "Who took it?"), [(image, RATIO) for image in images], max_tokens=1
    )
    kept = next(iter(choices)).plan.kept
    text = answers[0].prompt_tokens - kept  # a hit of more tokens than these ends inside the image
    assert [text < answer.cached_tokens < kept for answer in answers] == [True] * len(images)
    assert [len(each) for each in choices.values()] == [2] * len(images)  # encoded again
    return choices, len(selected)


def test_profiling_leaves_nothing_to_remember(asked: Engine) -> None:
    assert len(asked.model.choices) == 0


def test_an_image_encoded_again_keeps_its_tokens(
    asked: Engine, second_opinion: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    choices, selections = encode_twice(asked, second_opinion, monkeypatch, first=0)
    assert [again for _, again in choices.values()] == [before for before, _ in choices.values()]
    assert selections == len(choices)


def test_without_memory_it_may_keep_others(
    asked: Engine, second_opinion: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked.model, "choices", ChoiceMemory(0))
    choices, selections = encode_twice(asked, second_opinion, monkeypatch, first=10)
    assert [again for _, again in choices.values()] != [before for before, _ in choices.values()]
    assert selections == 2 * len(choices)
