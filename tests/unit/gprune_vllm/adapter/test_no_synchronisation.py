"""Nothing on the way of an image waits for the device.

On the meta device tensors have no values, so that whatever needs one on the host raises. What meta cannot show, copies
from the host, the mode below refuses.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from vllm.multimodal.utils import group_and_batch_mm_items

from gprune_vllm.adapter import pruning
from gprune_vllm.adapter.positions import PositionOffsets, append_offsets, split_offsets
from gprune_vllm.families.llava_next import grid_index
from gprune_vllm.methods.registry import needs_attention, select_tokens
from gprune_vllm.plan import Group, TokenPlan
from tests.unit.gprune_vllm.stub_model import image_item, stub_model
from tests.unit.gprune_vllm.stub_qwen import STUBS, batch_of, planned_media, stub_qwen
from tests.unit.gprune_vllm.support import FAMILY, GEOMETRIES, METHOD_NAMES, METHODS, SMALL, finish, keep, seen_of

META = torch.device("meta")
PLAN = GEOMETRIES["llava-next"].plan((480, 640), 0.7)
WAITING = ("_local_scalar_dense", "item", "nonzero", "masked_select", "unique", "_unique2", "equal", "is_nonzero")


class Refusal(Exception):
    """An operation that would wait for the device."""


class NoSynchronisation(TorchDispatchMode):
    """Refuses operations that make a host wait for its device, whatever device the tensors are on."""

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = operation.overloadpacket.__name__
        masks = [leaf for leaf in tree_leaves(args[1:2]) if isinstance(leaf, Tensor) and leaf.dtype == torch.bool]
        if name in WAITING or (name in ("index", "index_put_", "index_put") and masks):
            raise Refusal(str(operation))
        before = {leaf.device.type for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        result = operation(*args, **(kwargs or {}))
        after = {leaf.device.type for leaf in tree_leaves(result) if isinstance(leaf, Tensor)}
        if "cpu" in before and "meta" in after:
            raise Refusal(f"{operation} copies from the host")
        return result


@pytest.mark.parametrize(
    "waiting",
    [
        lambda tensor: tensor.sum().item(),
        lambda tensor: bool(tensor[0] > 0),
        lambda tensor: tensor[tensor > 0],
        lambda tensor: tensor.nonzero(),
        lambda tensor: tensor.unique(),
        lambda tensor: tensor.masked_select(tensor > 0),
        lambda tensor: tensor.new_zeros(3).index_put_((tensor > 0,), tensor),
    ],
)
def test_the_mode_refuses_what_waits(waiting: Callable[[Tensor], object]) -> None:
    with NoSynchronisation(), pytest.raises(Refusal):
        waiting(torch.ones(3))


@pytest.mark.parametrize("waiting", [Tensor.tolist, Tensor.item, Tensor.nonzero, Tensor.cpu, bool])
def test_the_meta_device_has_no_values(waiting: Callable[[Tensor], object]) -> None:
    with pytest.raises((RuntimeError, NotImplementedError)):
        waiting(torch.ones(1, device=META))


@pytest.mark.parametrize("shape", [(), (3,)])
def test_the_mode_refuses_copies_from_the_host(shape: tuple[int, ...]) -> None:
    with NoSynchronisation(), pytest.raises(Refusal):
        torch.ones(shape).to(META)


def whole_way(features: Tensor, method: str, **options: Any) -> tuple[Tensor, Tensor]:
    """From a tower's features to embeddings and offsets, and through both channels and back."""
    kept = keep(features, PLAN, method, seen_of(features), **options)
    embeddings, offsets = finish(kept, torch.zeros(features.shape[-1], device=features.device), PLAN)
    embeddings, offsets = split_offsets(append_offsets(embeddings, offsets.unsqueeze(1)), features.shape[-1], 1)
    return embeddings, offsets.squeeze(1)


@METHODS
@pytest.mark.parametrize(
    "options", [{}, {"seed": 7, "temperature": None}, {"similarity": "euclidean", "score": "ones"}, {"graph": False}]
)
def test_pruning_does_not_wait(method: str, options: dict[str, Any]) -> None:
    features = torch.zeros(PLAN.units, PLAN.groups[0].tokens, 16, dtype=torch.bfloat16, device=META)
    with NoSynchronisation():
        embeddings, offsets = whole_way(features, method, **options)
    assert (embeddings.shape, offsets.shape) == ((PLAN.kept, 16), (PLAN.kept,))
    assert (embeddings.device, offsets.device) == (META, META)


@METHODS
def test_pruning_needs_no_values_on_a_device_that_has_them(method: str) -> None:
    features = torch.randn(PLAN.units, PLAN.groups[0].tokens, 4, generator=torch.Generator().manual_seed(0))
    with NoSynchronisation():
        _, offsets = whole_way(features, method)
    assert offsets[-1] == PLAN.input - PLAN.kept


@METHODS
def test_batched_selection_does_not_wait(method: str) -> None:
    with NoSynchronisation():
        features = torch.zeros(2, 3, 50, 4, device=META)
        assert select_tokens(features, 10, method, shape=(5, 10), **seen_of(features)).index.shape == (2, 3, 10)


def test_the_layout_is_made_on_the_device() -> None:
    with NoSynchronisation():
        layout = FAMILY.layout(PLAN, META)
        for index in (grid_index(PLAN, META), *layout.groups, layout.structural):
            assert index.device == META


@pytest.mark.parametrize("axes", [1, 3])
def test_positions_do_not_wait(axes: int) -> None:
    offsets = PositionOffsets(64, 4096, axes, device=META)
    for _ in range(2):
        # Not under the mode: the mask is on the host, and what it marks is copied to the device from pinned memory.
        offsets.write(torch.zeros(5, axes, dtype=torch.int64, device=META), torch.tensor([True] * 5 + [False] * 3))
        with NoSynchronisation():
            moved = offsets.move(torch.zeros(3, 16, dtype=torch.int64, device=META))
            offsets.clear()
        assert (moved.shape, moved.device) == ((16,) if axes == 1 else (3, 16), META)


@METHODS
def test_bands_do_not_wait(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BAND", 32)
    monkeypatch.setattr(pruning, "PAIRS", 32**2)
    plan = TokenPlan((Group(9, 10, kept=40, copies=2),), structural=0, span=90, units=1)
    features = torch.zeros(plan.input, 8, device=META)
    with NoSynchronisation():
        seen = {name: [values] for name, values in seen_of(features).items()}
        (found,) = pruning.select_groups([features], plan, method, seen)
    assert (found.index.shape, found.index.device) == ((plan.kept,), META)


@pytest.mark.parametrize("name", STUBS)
def test_offsets_under_mrope_do_not_wait(name: str) -> None:
    model, plan = stub_qwen(name), planned_media(5, 3, frames=2, kept=4).plan
    with NoSynchronisation():
        positions = torch.zeros(plan.kept, dtype=torch.int64, device=META)
        offsets = model.offsets_of(positions, model.family.layout(plan, META), plan)
    assert (offsets.shape, offsets.device) == ((plan.kept, 3), META)


@pytest.mark.parametrize("method", [name for name in METHOD_NAMES if not needs_attention(name)])
@pytest.mark.parametrize("stage", ["vision", "projector"])
@pytest.mark.parametrize("name", STUBS)
def test_a_batch_of_videos_does_not_wait(name: str, stage: str, method: str) -> None:
    planned = [planned_media(5, 3, frames=2, kept=4), planned_media(3, 7, frames=1, kept=9)]
    # Not under the mode: the order of tokens in windows is made on the host, and copied from pinned memory.
    away = stub_qwen(name, device="meta", prune_stage=stage, prune_method=method)
    embeddings = away.embed_multimodal(**batch_of("video", planned, device="meta"))
    assert [(len(item), item.device) for item in embeddings] == [(8, META), (9, META)]
    here = stub_qwen(name, prune_stage=stage, prune_method=method)
    here.embed_multimodal(**batch_of("video", planned))  # remembers the windows
    here.choices.clear()
    batch = batch_of("video", planned)
    with NoSynchronisation():
        embeddings = here.embed_multimodal(**batch)
    assert [len(item) for item in embeddings] == [8, 9]


@METHODS
@pytest.mark.parametrize("stage", ["vision", "projector"])
def test_a_batch_of_images_does_not_wait(stage: str, method: str) -> None:
    model = stub_model(SMALL.config(), crop_limit=6, device="meta", prune_stage=stage, prune_method=method)
    sizes = [(60, 90), (20, 200), (200, 20)]
    items = [image_item(SMALL, size, 0.5, seed) for seed, size in enumerate(sizes)]
    for _ in range(2):  # the second time, choices are recalled
        ((_, batch),) = group_and_batch_mm_items(items, device=META)
        with NoSynchronisation():
            embeddings = model.embed_multimodal(**batch)
        assert [len(item) for item in embeddings] == [SMALL.plan(size, 0.5).kept for size in sizes]
