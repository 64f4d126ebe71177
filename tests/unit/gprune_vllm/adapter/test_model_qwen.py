"""What our Qwen-VL classes do between vision tower and language model, both of them stubs."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.vision_utils import get_vision_window_index

from gprune_vllm.adapter.positions import split_offsets
from gprune_vllm.methods.registry import select_tokens
from gprune_vllm.plan import Group, PlannedImage
from tests.unit.gprune_vllm.stub_qwen import HIDDEN, LEVELS, STUBS, batch_of, planned_media, stub_qwen

NAMES = pytest.mark.parametrize("name", STUBS)
STAGES = pytest.mark.parametrize("stage", ["vision", "projector"])
MODALITIES = pytest.mark.parametrize("modality", ["image", "video"])
METHODS = ("gprune", "gprune-nms", "gprune-blend", "grid", "l2norm", "divprune", "random")
"""Methods that change no token and need no attention."""


def media(modality: str) -> list[PlannedImage]:
    """Of several sizes, pruned and unpruned, also such that fill no window."""
    frames = (1, 1, 1) if modality == "image" else (3, 1, 2)
    shapes = ((5, 3, 4), (4, 4, 16), (3, 7, 9))
    return [planned_media(*shape[:2], count, shape[2], seed=7) for shape, count in zip(shapes, frames, strict=True)]


def kept_places(model: Any, units: Tensor, rows: Tensor, group: Group, method: str) -> Tensor:
    """Places of the tokens that stay, worked out frame by frame."""
    scored = units.flatten(1) if model.settings.prune_stage == "vision" else rows[:, :HIDDEN]
    options = model.settings.selector_options | {"seed": 7, "shape": (group.rows, group.columns)}
    places = [
        frame * group.tokens + select_tokens(part, group.kept, method, **options).index
        for frame, part in enumerate(scored.split(group.tokens))
    ]
    return torch.cat(places)


@NAMES
@STAGES
@MODALITIES
@pytest.mark.parametrize("method", METHODS)
def test_what_stays_is_the_unpruned_media_with_gaps(name: str, stage: str, modality: str, method: str) -> None:
    model = stub_qwen(name, prune_stage=stage, prune_method=method)
    planned = media(modality)
    batch = batch_of(modality, planned)
    found = model.embed_multimodal(**batch)
    pixels = batch["pixel_values" if modality == "image" else "pixel_values_videos"]
    sizes = [image.plan.input for image in planned]
    units = model.visual.units(pixels)
    rows = torch.nn.Linear.forward(model.visual.merger, units.flatten(1))
    for image, embeddings, part, whole in zip(planned, found, units.split(sizes), rows.split(sizes), strict=True):
        (group,) = image.plan.groups
        kept, offsets = split_offsets(embeddings, model.embedding_size, 3)
        if not image.plan.pruned:
            assert embeddings.shape[-1] == model.embedding_size
            torch.testing.assert_close(kept, whole)
            continue
        places = kept_places(model, part, whole, group, method)
        torch.testing.assert_close(kept, whole[places])
        inside = places % group.tokens
        assert offsets.tolist() == [[0, place // group.columns, place % group.columns] for place in inside.tolist()]


@NAMES
def test_contiguous_positions_leave_no_trace_on_the_embeddings(name: str) -> None:
    batch = [batch_of("image", media("image")) for _ in range(2)]
    with_offsets = stub_qwen(name).embed_multimodal(**batch[0])
    without = stub_qwen(name, prune_positions="contiguous").embed_multimodal(**batch[1])
    for one, other in zip(with_offsets, without, strict=True):
        assert torch.equal(one[:, : other.shape[-1]], other)


def test_deeper_layers_keep_what_they_read() -> None:
    model = stub_qwen("qwen3_vl")
    (embeddings, *_) = model.embed_multimodal(**batch_of("video", media("video")))
    assert model.embedding_size == HIDDEN * (1 + LEVELS)
    assert embeddings.shape[-1] == model.embedding_size + 2 * 3


@NAMES
def test_the_merger_is_itself_again(name: str) -> None:
    model = stub_qwen(name)
    merger = model.visual.merger
    model.embed_multimodal(**batch_of("image", media("image")))
    assert model.visual.merger is merger


@MODALITIES
def test_windows_are_those_of_transformers(modality: str) -> None:
    model, planned = stub_qwen("qwen2_5_vl"), media(modality)
    grids = batch_of(modality, planned)[f"{modality}_grid_thw"]
    windows, _ = get_vision_window_index(grids, 2, model.visual.window_size, model.visual.patch_size)
    rows = torch.arange(len(windows)).repeat_interleave(4).unsqueeze(1)  # a number for each token, of its four patches
    caught = rows.view(-1, 4, 1)[windows].flatten(0, 1).unsqueeze(1)  # as the merger reads them, [patches, 1, 1]
    assert not torch.equal(windows, windows.sort().values)
    features = model.family.features(model, [caught], planned)
    assert torch.equal(torch.cat(list(features)), rows.view(-1, 4))
    assert [len(part) for part in features] == [image.plan.input for image in planned]
