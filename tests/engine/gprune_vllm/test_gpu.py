"""On a GPU: what is selected is what a CPU selects, and nothing on the way makes the host wait for the device."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gprune_vllm.adapter.positions import PositionOffsets, append_offsets, split_offsets
from gprune_vllm.adapter.pruning import KeptTokens, lay_out, select_groups
from gprune_vllm.families.anyres import plan_tokens
from gprune_vllm.families.llava_next import GPruneLlavaNextForConditionalGeneration as Model
from gprune_vllm.methods.registry import select_tokens, selector_names
from gprune_vllm.plan import PruneSpec
from loadtest.benchmarks.features import HEAD_SIZE, features_of, seen_of
from tests.support.engine import engine
from tests.support.photos import generated

DEVICE = "cuda"
PRUNING = ("_keep", "_merge", "_take_offsets")
"""Methods of the model that run for pruned images only, or only for them do something."""

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.xdist_group("engines"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@contextmanager
def no_waiting() -> Iterator[None]:
    """Raise RuntimeError where the host waits for the device."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def guarded(work: Callable[..., Any]) -> Callable[..., Any]:
    """The same work, which must not wait."""

    def run(*arguments: Any) -> Any:
        with no_waiting():
            return work(*arguments)

    return run


@pytest.mark.parametrize("method", selector_names())
def test_a_gpu_selects_what_a_cpu_selects(method: str) -> None:
    features = features_of(256, 64, torch.float32, "cpu")
    here = select_tokens(features, 77, method, shape=(16, 16), **seen_of(256, "cpu"))
    there = select_tokens(features.to(DEVICE), 77, method, shape=(16, 16), **seen_of(256, DEVICE))
    assert torch.equal(there.index.cpu(), here.index)
    torch.testing.assert_close(there.features.cpu(), here.features)


def test_waiting_is_noticed() -> None:
    total = torch.ones(3, device=DEVICE).sum()
    with pytest.raises(RuntimeError, match="synchroniz"), no_waiting():
        total.item()


@torch.inference_mode()
@pytest.mark.parametrize("method", selector_names())
def test_the_way_from_features_to_positions_never_waits(method: str) -> None:
    plan = plan_tokens((160, 213), [(112, 224), (224, 112), (224, 224)], 112, 14, PruneSpec(0.7))
    features = features_of(plan.units * plan.groups[0].tokens, 64, torch.float32, DEVICE)
    features = features.unflatten(0, (plan.units, -1))  # [crops, patches, hidden_size]
    seen = {"attention": features.sum(dim=-1).sigmoid(), "keys": features[..., :HEAD_SIZE]}
    newlines = torch.randn(plan.structural, 64, device=DEVICE)
    family = Model.family
    places = torch.ones(plan.kept, dtype=torch.bool)  # on the host, as vLLM has it
    written = PositionOffsets(plan.kept, 4096, device=torch.device(DEVICE))
    positions = torch.arange(plan.kept, device=DEVICE).expand(3, -1)

    def prune() -> Tensor:
        of_groups = {name: family.split(values, plan) for name, values in seen.items()}
        selections = select_groups(family.split(features, plan), plan, method, of_groups)
        layout = family.layout(plan, newlines.device)
        embeddings, kept = lay_out(KeptTokens.of(selections, layout), newlines, layout)
        offsets = Model.offsets_of(None, kept, layout, plan)  # type: ignore[arg-type]
        written.write(split_offsets(append_offsets(embeddings, offsets), 64, 1)[1], places)
        return written.move(positions)

    once = prune().clone()  # what is loaded at first is loaded now
    assert torch.equal(guarded(prune)(), once)


def test_an_engine_never_waits_while_it_prunes(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def watch(name: str) -> None:
        work = guarded(getattr(Model, name))

        def run(*arguments: Any) -> Any:
            calls.append(name)
            return work(*arguments)

        monkeypatch.setattr(Model, name, run)

    with engine(checkpoint, gpu_memory_utilization=0.3) as asked:
        asked.ask([generated(213, 160)], 0.7)  # what is loaded at first is loaded now
        for name in PRUNING:
            watch(name)
        asked.ask([generated(213, 160, seed=1)], 0.7)
    assert set(calls) == set(PRUNING)
