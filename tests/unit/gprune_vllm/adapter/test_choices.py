"""Choices are remembered: rounding does not change them, and they take no more memory than they may."""

import gc
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest
import torch
from torch import Tensor

from gprune_vllm.adapter import pruning
from gprune_vllm.adapter.choices import BLOCK, MEMORY, ChoiceMemory, memory_limit
from gprune_vllm.adapter.timing import SelectionTimer
from gprune_vllm.methods.registry import merges
from gprune_vllm.methods.selection import Selection
from gprune_vllm.plan import Group, PlannedImage, TokenPlan
from tests.support.rounding import rounded_otherwise
from tests.unit.gprune_vllm.stub_model import MAX_TOKENS, stub_model
from tests.unit.gprune_vllm.stub_qwen import planned_media, stub_qwen
from tests.unit.gprune_vllm.support import GEOMETRIES, METHOD_NAMES, features_of, seen_of

DEMO = GEOMETRIES["demo"]
SELECTORS = [name for name in METHOD_NAMES if not merges(name)]
PICTURES = range(8)


def model_with(memory: int = MEMORY, **settings: Any) -> Any:
    model = stub_model(DEMO.config(), **settings)
    model.prepare(MAX_TOKENS, memory)
    return model


def choose(model: Any, picture: int, batch: int) -> list[list[int]]:
    """Encode a picture in a batch: the tokens that stay of each group."""
    plan = DEMO.plan((224, 224), 0.7)
    features = rounded_otherwise(features_of(plan, seed=picture).bfloat16(), batch)
    selections = model.select(model.family.split(features, plan), seen_of(features), PlannedImage(plan, 0, picture))
    return [selection.index.tolist() for selection in selections]


def changed(model: Any) -> int:
    """Count the pictures that keep other tokens when they are encoded again."""
    return sum(choose(model, picture, 1) != choose(model, picture, 2) for picture in PICTURES)


@pytest.mark.parametrize("method", SELECTORS)
def test_images_keep_their_tokens_when_they_are_rounded_otherwise(method: str) -> None:
    assert changed(model_with(prune_method=method)) == 0


@pytest.mark.parametrize("method", sorted({*SELECTORS} - {"grid", "random"}))
def test_without_memory_rounding_decides_near_ties(method: str) -> None:
    assert changed(model_with(memory=0, prune_method=method)) > 0


class Timer:
    """Counts the selections that it times."""

    count = 0

    def time(self, device: torch.device, method: str) -> AbstractContextManager[None]:
        self.count += 1
        return nullcontext()


@pytest.mark.parametrize(("method", "selections"), [("gprune", 1), ("tome", 2), ("visionzip", 2)])
def test_only_tokens_that_are_merged_are_selected_again(method: str, selections: int) -> None:
    model, timer = model_with(prune_method=method), Timer()
    model.timer = cast(SelectionTimer, timer)
    assert choose(model, 0, 1) == choose(model, 0, 1)
    assert timer.count == selections
    assert len(model.choices) == 2 - selections


def test_new_weights_choose_anew() -> None:
    model = model_with()
    choose(model, 0, 1)
    model.load_weights([])
    assert len(model.choices) == 0


@pytest.mark.parametrize("frames", [1, 3])
def test_every_frame_of_a_video_keeps_its_tokens(frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BAND", 40)  # several bands a frame
    model, video = stub_qwen("qwen3_vl"), planned_media(10, 12, frames, kept=30, seed=7)
    features = torch.randn(120 * frames, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    first, again = (model.select([rounded_otherwise(features, batch)], {}, video)[0] for batch in (1, 2))
    assert first.index.tolist() == again.index.tolist()
    assert again.index.bincount(minlength=120 * frames).view(frames, 120).sum(dim=1).tolist() == [30] * frames


def image(digest: int, kept: int = 1, method: int = 0) -> PlannedImage:
    return PlannedImage(TokenPlan((Group(40, 50, kept),), 0, span=2000, units=1), method, digest)


def selection(kept: int = 1) -> list[Selection]:
    return [Selection.of(torch.zeros(2000, 1), torch.arange(kept))]


def recalled(memory: ChoiceMemory, picture: PlannedImage, features: Tensor | None = None) -> list[Selection] | None:
    return memory.recall(picture, [torch.zeros(2000, 1) if features is None else features])


def test_what_is_recalled_are_rows_of_the_features_at_hand() -> None:
    memory, features = ChoiceMemory(), torch.randn(2000, 3)
    memory.remember(image(1, kept=5), selection(5))
    (found,) = recalled(memory, image(1, kept=5), features) or []
    assert torch.equal(found.features, features[:5])
    assert (found.index.dtype, found.index.tolist()) == (torch.int64, [*range(5)])


def test_another_picture_plan_or_method_is_not_recalled() -> None:
    memory = ChoiceMemory()
    memory.remember(image(1), selection())
    assert recalled(memory, image(1)) is not None
    for other in (image(2), image(1, kept=2), image(1, method=1)):
        assert recalled(memory, other) is None


def test_what_was_not_encoded_for_longest_is_forgotten_first() -> None:
    memory = ChoiceMemory(8 * BLOCK)
    for digest in range(8):
        memory.remember(image(digest), selection())
    recalled(memory, image(0))
    memory.remember(image(8), selection())
    assert [recalled(memory, image(digest)) is not None for digest in range(9)] == [True, False, *[True] * 7]


@pytest.mark.parametrize(("kept", "entries"), [(1, 8), (128, 8), (129, 4), (1024, 1), (1025, 0)])
def test_the_limit_is_one_of_bytes(kept: int, entries: int) -> None:
    memory = ChoiceMemory(8 * BLOCK)
    for digest in range(20):
        memory.remember(image(digest, kept), selection(kept))
    assert len(memory) == entries
    assert memory.size <= 8 * BLOCK


def test_the_smallest_choices_cannot_fill_the_hosts_memory() -> None:
    memory, process, one = ChoiceMemory(), psutil.Process(), selection()
    gc.collect()
    before = process.memory_info().rss
    for digest in range(MEMORY // BLOCK + 1000):
        memory.remember(image(digest), one)
    assert len(memory) == MEMORY // BLOCK
    assert process.memory_info().rss - before < 4 * MEMORY


@pytest.mark.parametrize(("lora", "limit"), [(None, MEMORY), (False, MEMORY), (True, 0)])
def test_adapters_of_the_tower_choose_for_themselves(lora: bool | None, limit: int) -> None:
    config: Any = SimpleNamespace(
        lora_config=None if lora is None else SimpleNamespace(enable_tower_connector_lora=lora)
    )
    assert memory_limit(config) == limit
