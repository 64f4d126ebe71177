"""What our model class does between vision tower, projector and language model, all three of them stubs."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from vllm.model_executor.models.interfaces import supports_mrope
from vllm.multimodal.inputs import MultiModalFeatureSpec, MultiModalKwargsItem, PlaceholderRange
from vllm.multimodal.utils import group_and_batch_mm_items, strip_covered_mm_data

from gprune_vllm.adapter.model import _rotary_positions
from gprune_vllm.adapter.positions import split_offsets
from gprune_vllm.adapter.timing import SelectionTimer
from gprune_vllm.defaults import METHOD
from gprune_vllm.families.llava_next import GPruneLlavaNextForConditionalGeneration
from tests.unit.gprune_vllm.stub_model import MAX_POSITION, expected_image, image_item, stub_model
from tests.unit.gprune_vllm.support import METHOD_NAMES, METHODS, SMALL, Geometry

HIDDEN = 8
SIGLIP = Geometry(SMALL.crop_size, SMALL.patch_size, SMALL.pinpoints, "siglip")
SIZES = ((60, 90), (20, 200), (200, 20), (28, 28), (57, 31))
STAGES = pytest.mark.parametrize("stage", ["vision", "projector"])


def build(**settings: Any) -> GPruneLlavaNextForConditionalGeneration:
    return stub_model(SMALL.config(HIDDEN), **settings)


def embed(model: GPruneLlavaNextForConditionalGeneration, *items: MultiModalKwargsItem) -> list[Tensor]:
    """Embed images the way both of vLLM's runners batch them, and forget the calls that it took to get there."""
    model.vision_tower.calls.clear()
    model.multi_modal_projector.calls.clear()
    groups = group_and_batch_mm_items(items, device="cpu")
    return [embeddings for _, batch in groups for embeddings in model.embed_multimodal(**batch)]


def check(model: GPruneLlavaNextForConditionalGeneration, item: MultiModalKwargsItem, embeddings: Tensor) -> None:
    """Hold an image's embeddings and offsets against the sequence that Transformers lays out."""
    expected, positions = expected_image(model, item, SMALL)
    rest, offsets = split_offsets(embeddings, HIDDEN, model.axes)
    torch.testing.assert_close(rest, expected)
    if embeddings.shape[-1] > HIDDEN:
        assert torch.equal(torch.arange(len(offsets)) + offsets.squeeze(1), positions)


@METHODS
@STAGES
def test_pruned_images_are_the_unpruned_ones_with_gaps(stage: str, method: str) -> None:
    model = build(prune_stage=stage, prune_method=method)
    items = [image_item(SMALL, size, 0.6, seed) for seed, size in enumerate(SIZES)]
    for item, embeddings in zip(items, embed(model, *items), strict=True):
        assert embeddings.shape[-1] == HIDDEN + 2
        check(model, item, embeddings)


@STAGES
def test_pruned_and_unpruned_images_share_a_batch(stage: str) -> None:
    model = build(prune_stage=stage)
    images = zip(SIZES, (0, 0.5, 0, 0.9, 0.3), strict=True)
    items = [image_item(SMALL, size, ratio, seed) for seed, (size, ratio) in enumerate(images)]
    embeddings = embed(model, *items)
    assert [item.shape[-1] - HIDDEN for item in embeddings] == [0, 2, 0, 2, 2]
    for item, found in zip(items, embeddings, strict=True):
        check(model, item, found)


def test_unpruned_images_are_the_base_classs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build()
    monkeypatch.setattr(model, "embed_pruned", None)
    items = [image_item(SMALL, size, 0, seed) for seed, size in enumerate(SIZES)]
    for item, embeddings in zip(items, embed(model, *items), strict=True):
        assert embeddings.shape[-1] == HIDDEN
        check(model, item, embeddings)


def test_contiguous_positions_leave_no_trace_on_the_embeddings() -> None:
    original, contiguous = build(), build(prune_positions="contiguous")
    item = image_item(SMALL, (60, 90), 0.6)
    (with_offsets,), (without,) = embed(original, item), embed(contiguous, item)
    assert torch.equal(with_offsets[:, :HIDDEN], without)


def test_stages_judge_different_features() -> None:
    item = image_item(SMALL, (60, 90), 0.6)
    kept = [embed(build(prune_stage=stage, prune_method="l2norm"), item)[0] for stage in ("vision", "projector")]
    assert not torch.equal(*kept)


def test_padding_crops_never_reach_the_tower() -> None:
    model = build()
    plain, padded = (image_item(SMALL, (28, 28), 0.5, padding=padding) for padding in (0, 3))
    (expected,), calls = embed(model, plain), list(model.vision_tower.calls)
    (found,) = embed(model, padded)
    assert model.vision_tower.calls == calls
    assert torch.equal(found, expected)


def test_the_projector_runs_on_kept_tokens_only_after_the_vision_stage() -> None:
    plan = SMALL.plan((60, 90), 0.6)
    for stage, tokens in (
        ("vision", plan.patches_kept),
        ("projector", plan.units * plan.groups[0].tokens),
    ):
        model = build(prune_stage=stage)
        embed(model, image_item(SMALL, (60, 90), 0.6))
        assert model.multi_modal_projector.calls == [tokens]


@pytest.mark.parametrize(("limit", "calls"), [(1, [5] * 6), (9, [5] * 6), (10, [10] * 3), (29, [25, 5]), (30, [30])])
def test_the_tower_runs_no_more_crops_at_once_than_allowed(limit: int, calls: list[int]) -> None:
    items = [image_item(SMALL, (56, 56), 0.5, seed) for seed in range(6)]
    model = build(crop_limit=limit)
    found = embed(model, *items)
    assert model.vision_tower.calls == calls
    for embeddings, item in zip(found, items, strict=True):
        check(model, item, embeddings)


def test_images_of_different_sizes_fill_the_limit_in_order() -> None:
    items = [image_item(SMALL, size, 0.5, seed) for seed, size in enumerate(SIZES)]
    crops = [SMALL.plan(size).units for size in SIZES]
    model = build(crop_limit=9)
    embed(model, *items)
    assert sum(model.vision_tower.calls) == sum(crops)
    assert max(model.vision_tower.calls) <= 9
    assert len(model.vision_tower.calls) < len(SIZES)


def test_an_image_embeds_alike_whatever_comes_with_it() -> None:
    model = build(prune_method="random")
    items = [image_item(SMALL, size, 0.5, seed) for seed, size in enumerate(SIZES)]
    together = embed(model, *items)
    for item, embeddings in zip(reversed(items), reversed(together), strict=True):
        torch.testing.assert_close(embed(model, item)[0], embeddings)


@STAGES
@pytest.mark.parametrize("geometry", [SMALL, SIGLIP], ids=["class token", "no class token"])
def test_images_of_different_methods_share_a_batch(geometry: Geometry, stage: str) -> None:
    model = stub_model(geometry.config(HIDDEN), crop_limit=9, prune_stage=stage, prune_methods=",".join(METHOD_NAMES))
    methods = [model.settings.methods.index(name) for name in METHOD_NAMES] * 2
    items = [
        image_item(geometry, SIZES[place % len(SIZES)], 0.3 if place % 3 else 0.8, seed=place, method=method)
        for place, method in enumerate(methods)
    ]
    for item, embeddings in zip(items, embed(model, *items), strict=True):
        check(model, item, embeddings)


def test_attention_is_watched_only_where_it_is_needed() -> None:
    assert build(prune_method="tome").tower_attention is None
    model = build(prune_methods="visionzip")
    assert model.tower_attention is not None
    embed(model, image_item(SMALL, (60, 90), 0.5), image_item(SMALL, (60, 90), 0, method=1))
    assert model.tower_attention._watched is None
    embed(model, image_item(SMALL, (60, 90), 0.5, method=1))
    assert model.tower_attention._watched is None  # taken, so that nothing holds its memory


class Timer:
    """Counts what it times."""

    def __init__(self) -> None:
        self.timed: list[tuple[torch.device, str]] = []

    def time(self, device: torch.device, method: str) -> AbstractContextManager[None]:
        self.timed.append((device, method))
        return nullcontext()


def test_the_selection_of_each_pruned_image_is_timed() -> None:
    model, timer = build(prune_methods="tome"), Timer()
    model.timer = cast(SelectionTimer, timer)
    embed(model, *(image_item(SMALL, (60, 90), ratio, method=method) for ratio, method in ((0.5, 0), (0, 0), (0.9, 1))))
    assert timer.timed == [(torch.device("cpu"), METHOD), (torch.device("cpu"), "tome")]


def feature(item: MultiModalKwargsItem | None, offset: int, length: int) -> MultiModalFeatureSpec:
    return MultiModalFeatureSpec(item, "image", f"image at {offset}", PlaceholderRange(offset, length))


def test_text_gets_the_positions_of_the_unpruned_prompt() -> None:
    plans = [SMALL.plan(size, 0.6) for size in SIZES[:2]]
    first, second = (image_item(SMALL, size, 0.6) for size in SIZES[:2])
    features = [feature(first, 1, plans[0].kept), feature(second, plans[0].kept + 3, plans[1].kept)]
    length = plans[0].kept + plans[1].kept + 6
    positions, delta = build().get_mrope_input_positions([3] * length, features)
    assert (positions.shape, positions.dtype, type(delta)) == ((3, length), torch.int64, int)
    assert positions[0, plans[0].kept + 1].item() == plans[0].input + 1
    assert positions[0, -1].item() == plans[0].input + plans[1].input + 5
    assert length + delta == plans[0].input + plans[1].input + 6


def test_positions_survive_what_the_scheduler_strips_of_cached_images() -> None:
    plan = SMALL.plan((60, 90), 0.6)
    features = [feature(image_item(SMALL, (60, 90), 0.6), 1, plan.kept)]
    stripped = strip_covered_mm_data(features, plan.kept + 2, uses_mrope=True)
    assert "pixel_values" not in (stripped[0].data or {})
    whole, rest = (build().get_mrope_input_positions([3] * (plan.kept + 4), given) for given in (features, stripped))
    assert torch.equal(whole[0], rest[0])
    assert whole[1] == rest[1] == plan.input - plan.kept


def test_precomputed_embeddings_move_nothing() -> None:
    for item in (None, MultiModalKwargsItem({})):
        positions, delta = build().get_mrope_input_positions([3] * 9, [feature(item, 1, 7)])
        assert positions.tolist() == [list(range(9))] * 3
        assert delta == 0


def test_vllm_sees_its_mrope_interface() -> None:
    assert supports_mrope(build())


def test_a_step_without_images_forgets_the_offsets_of_the_last_one() -> None:
    model = build()
    (embeddings,) = embed(model, image_item(SMALL, (60, 90), 0.6))
    is_multimodal = torch.ones(len(embeddings), dtype=torch.bool)
    ids, positions = torch.full((len(embeddings),), 3), torch.arange(len(embeddings)).expand(3, -1)
    for forgetting in ({}, {"multimodal_embeddings": [], "is_multimodal": ~is_multimodal}):
        model.embed_input_ids(ids, [embeddings], is_multimodal=is_multimodal)
        assert model(None, positions)[1][-1] > len(embeddings)
        model.embed_input_ids(ids, **forgetting)
        assert torch.equal(model(None, positions)[1], positions[0])


def test_offsets_outlive_a_sleep() -> None:
    """vLLM's sleep mode, at level 2, restores a model's buffers and nothing else of its memory."""
    model = build()
    assert model.offsets is not None
    assert model.offsets._offsets.data_ptr() in {buffer.data_ptr() for buffer in model.buffers()}


def test_contiguous_positions_pass_through() -> None:
    positions = torch.arange(5)
    assert torch.equal(build(prune_positions="contiguous")(None, positions)[1], positions)


@STAGES
def test_lora_counts_what_tower_and_projector_see(stage: str) -> None:
    model = build(prune_stage=stage)
    item = image_item(SMALL, (28, 28), 0.6, padding=2)
    counts = model.get_mm_lora_token_counts(modality="image", mm_kwargs=item, num_mm_embeds=0)
    embed(model, item)
    (crops,), (projected,) = model.vision_tower.calls, model.multi_modal_projector.calls
    assert counts == (crops * (SMALL.side**2 + 1), projected)  # CLIP's class token goes through the tower too


def test_lora_counts_unpruned_images_as_upstream_does() -> None:
    model = build()
    item = image_item(SMALL, (28, 28), 0, padding=2)
    arguments: dict[str, Any] = {"modality": "image", "mm_kwargs": item, "num_mm_embeds": 7}
    upstream = super(GPruneLlavaNextForConditionalGeneration, model).get_mm_lora_token_counts(**arguments)
    assert model.get_mm_lora_token_counts(**arguments) == upstream
    assert model.get_mm_lora_token_counts(**arguments | {"mm_kwargs": None}) == (7, 7)


def test_positions_end_with_the_shortest_rotary_table() -> None:
    layers: list[Any] = [torch.nn.Module() for _ in range(3)]
    for layer, length in zip(layers, (MAX_POSITION, 100), strict=False):
        layer.register_buffer("cos_sin_cache", torch.zeros(length, 4))
    assert _rotary_positions(torch.nn.ModuleList(layers)) == 100
    assert _rotary_positions(torch.nn.ModuleList(layers[2:])) > 10**9
