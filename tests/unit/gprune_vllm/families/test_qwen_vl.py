"""Qwen-VL's counts, held against Transformers' and vLLM's own."""

from collections.abc import Mapping
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize
from transformers.models.qwen3_vl.video_processing_qwen3_vl import smart_resize as smart_resize_of_frames
from vllm.exceptions import VLLMValidationError

from gprune_vllm.families.qwen_vl import Qwen2_5VL, Qwen3VL
from gprune_vllm.plan import Group, MediaSize, PruneSpec, TokenPlan
from tests.support.families.qwen_vl import metadata_of
from tests.support.photos import generated
from tests.unit.gprune_vllm.conftest import BuildFamily
from tests.unit.gprune_vllm.mrope_prompts import CONFIG, MODELS, Media, Prompt
from tests.unit.gprune_vllm.support import ratios

NAMES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
MODALITIES = pytest.mark.parametrize("modality", ["image", "video"])


@pytest.fixture(scope="module", params=NAMES)
def info(request: pytest.FixtureRequest, build_family: BuildFamily) -> Any:
    """What our processor knows of a tiny checkpoint."""
    return build_family(request.param).info


sides = st.integers(1, 6000) | st.integers(1, 200)
LIMITS = [
    {},
    *(
        {"min_pixels": least, "max_pixels": most}
        for least, most in ((1, 32**2), (56**2, 90_000), (50_000, 60_000), (10**6, 10**7), (777, 12_345_678))
    ),
]
"""What requests may ask for. vLLM loads a processor of Transformers for each, so they are few."""
limits = st.sampled_from(LIMITS)


@st.composite
def media_sizes(draw: st.DrawFn, modality: str) -> MediaSize:
    return MediaSize(draw(sides), draw(sides), draw(st.integers(1, 9)) if modality == "video" else 1, 0.5)


def readable_sizes(modality: str) -> st.SearchStrategy[MediaSize]:
    """Sizes that every processor takes."""
    enough = 1 if modality == "image" else 2
    return media_sizes(modality).filter(
        lambda size: max(size.height, size.width) < 100 * min(size.height, size.width) and size.frames >= enough
    )


def upstream_size(info: Any, modality: str, size: MediaSize, limits: Mapping[str, int]) -> tuple[int, int, int]:
    """Height, width and frame pairs that Transformers makes of an image or a video.

    Raises:
        ValueError: it takes nothing of this size.
    """
    hf_processor = info.get_hf_processor()
    processor = hf_processor.image_processor if modality == "image" else hf_processor.video_processor
    least = limits.get("min_pixels", processor.size["shortest_edge"])
    most = limits.get("max_pixels", processor.size["longest_edge"])
    shape = {"factor": processor.patch_size * processor.merge_size, "min_pixels": least, "max_pixels": most}
    if modality == "video" and isinstance(info.family, Qwen3VL):
        resized = smart_resize_of_frames(size.frames, size.height, size.width, temporal_factor=2, **shape)
    else:
        resized = smart_resize(size.height, size.width, **shape)
    return *resized, (size.frames + 1) // 2


def vllm_count(info: Any, modality: str, size: MediaSize, limits: Mapping[str, int]) -> int:
    hf_processor = info.get_hf_processor()
    given_size: dict[str, Any] = {"image_width": size.width, "image_height": size.height, "mm_kwargs": limits}
    if modality == "image":
        return int(info.get_num_image_tokens(image_processor=hf_processor.image_processor, **given_size))
    given_size["num_frames"] = size.frames
    return int(info.get_num_video_tokens(image_processor=hf_processor.video_processor, **given_size))


def check(info: Any, modality: str, size: MediaSize, limits: Mapping[str, int]) -> None:
    """Hold the plan of an image or a video against upstream."""
    try:
        height, width, pairs = upstream_size(info, modality, size, limits)
    except ValueError:
        with pytest.raises(VLLMValidationError, match=f"cannot read the {modality} of {size.width} x") as refusal:
            info.plan(modality, size, PruneSpec(), limits)
        assert refusal.value.parameter == f"{modality}_url"
        return
    assert info.family.resized(info, modality, size, limits)[:3] == (height, width, pairs)
    side = 2 * info.config.vision_config.patch_size
    plan = info.plan(modality, size, PruneSpec(), limits)
    (group,) = plan.groups
    assert (group.copies, group.rows, group.columns) == (pairs, height // side, width // side)
    assert plan.input == plan.kept == vllm_count(info, modality, size, limits)
    assert plan.units == 4 * plan.input


@MODALITIES
@settings(max_examples=150)
@given(data=st.data(), limits=limits)
def test_any_size_counts_as_upstream_counts_it(info: Any, modality: str, data: Any, limits: dict[str, int]) -> None:
    check(info, modality, data.draw(media_sizes(modality)), limits)


@MODALITIES
def test_thousands_of_sizes_count_as_upstream_counts_them(info: Any, modality: str) -> None:
    draw = Random(0)
    for _ in range(3000):
        area, ratio = 10 ** draw.uniform(1, 7.5), 10 ** draw.uniform(-2.3, 2.3)
        height, width = max(1, round((area * ratio) ** 0.5)), max(1, round((area / ratio) ** 0.5))
        frames = draw.randint(1, 9) if modality == "video" else 1
        check(info, modality, MediaSize(height, width, frames, 0.5), draw.choice(LIMITS))


@MODALITIES
@pytest.mark.parametrize(("height", "width"), [(30, 6001), (6001, 30)])
def test_what_is_too_narrow_is_refused_by_its_name(info: Any, modality: str, height: int, width: int) -> None:
    with pytest.raises(
        VLLMValidationError, match=rf"{modality} of {width} x {height} pixels: .*aspect ratio"
    ) as refusal:
        info.plan(modality, MediaSize(height, width, 2, 0.5), PruneSpec())
    assert refusal.value.parameter == f"{modality}_url"


@MODALITIES
@given(data=st.data(), ratio=ratios)
def test_each_frame_pair_keeps_what_the_ratio_leaves(info: Any, modality: str, data: Any, ratio: float) -> None:
    size = data.draw(readable_sizes(modality))
    plan = info.plan(modality, size, PruneSpec(ratio))
    (group,) = plan.groups
    assert group.kept == PruneSpec(ratio).count_kept(group.tokens)
    assert plan.kept == group.kept * group.copies


@given(budget=st.integers(1, 400), frames=st.integers(2, 9))
def test_a_budget_is_shared_by_the_frames_of_a_video(info: Any, budget: int, frames: int) -> None:
    size = MediaSize(120, 160, frames, 0.5)
    (group,) = info.plan("video", size, PruneSpec(budget=budget)).groups
    assert 1 <= group.kept <= group.tokens
    assert group.kept * group.copies <= max(budget, group.copies)
    assert group.kept == group.tokens or (group.kept + 1) * group.copies > budget
    (image,) = info.plan("image", MediaSize(120, 160), PruneSpec(budget=budget)).groups
    assert image.kept == min(budget, image.tokens)


def is_profiled(size: MediaSize) -> bool:
    """Whether upstream keeps to its limit: not for an odd frame, and not for a strip below a row of tokens."""
    return size.frames % 2 == 0 and max(size.height, size.width) < 4 * min(size.height, size.width)


@MODALITIES
@given(data=st.data())
def test_nothing_exceeds_what_is_profiled(info: Any, modality: str, data: Any) -> None:
    size = data.draw(readable_sizes(modality).filter(is_profiled if modality == "video" else bool))
    largest, plan = info.family.largest(info, modality), info.plan(modality, size, PruneSpec())
    assert plan.input <= largest.input
    assert plan.units <= largest.units


def outputs_of(info: Any, images: list[Any], videos: list[Any], **kwargs: Any) -> Any:
    """What Transformers' whole processor makes of images and videos."""
    places = ["<|vision_start|><|image_pad|><|vision_end|>"] * len(images)
    places += ["<|vision_start|><|video_pad|><|vision_end|>"] * len(videos)
    metadata = [metadata_of(video) for video in videos]
    for each in metadata:
        del each["do_sample_frames"]
    extra = {"videos": videos, "video_metadata": metadata, "do_sample_frames": False} if videos else {}
    return info.get_hf_processor()(
        text=["".join(places)], images=images or None, return_tensors="pt", **extra, **kwargs
    )


def clip(height: int, width: int, frames: int) -> np.ndarray:
    noise = np.random.default_rng(frames).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
    return noise


@pytest.mark.parametrize("limits", [{}, {"shortest_edge": 50_000, "longest_edge": 90_000}])
def test_the_processors_images_have_the_size_they_were_planned_by(info: Any, limits: dict[str, int]) -> None:
    images = [generated(width, height) for width, height in ((30, 200), (411, 300), (64, 64), (1000, 77))]
    outputs = outputs_of(info, images, [], **{"images_kwargs": {"size": limits}} if limits else {})
    for index, image in enumerate(images):
        found = info.family.processed(info.config, "image", outputs, index)
        by_pixels = {"min_pixels": limits["shortest_edge"], "max_pixels": limits["longest_edge"]} if limits else {}
        for asked in (by_pixels, {"size": limits} if limits else {}):
            assert info.family.resized(info, "image", MediaSize(image.height, image.width), asked) == found


@pytest.mark.parametrize("frames", [2, 3, 4, 7])
def test_the_processors_videos_have_the_size_they_were_planned_by(info: Any, frames: int) -> None:
    videos = [clip(90, 150, frames), clip(200, 60, frames + 1)]
    outputs = outputs_of(info, [], videos)
    for index, video in enumerate(videos):
        count, height, width, _ = video.shape
        resized = info.family.resized(info, "video", MediaSize(height, width, count, 0.5), {})
        found = info.family.processed(info.config, "video", outputs, index)
        assert found[:3] == resized[:3]
        assert found.seconds == (resized.seconds if isinstance(info.family, Qwen2_5VL) else 0)
        specs = PruneSpec(), PruneSpec(0.3), PruneSpec(budget=50)
        planned = [[info.family.plan(info.config, size, spec) for spec in specs] for size in (found, resized)]
        assert planned[0] == planned[1]


def test_pixels_are_those_of_one_image_or_video(info: Any) -> None:
    images, videos = [generated(100, 60), generated(64, 200)], [clip(60, 90, 2), clip(90, 60, 4)]
    together = outputs_of(info, images, videos)
    for index in range(2):
        for modality, alone in (
            ("image", outputs_of(info, images[index : index + 1], [])),
            ("video", outputs_of(info, [], videos[index : index + 1])),
        ):
            size = info.family.processed(info.config, modality, together, index)
            plan = info.family.plan(info.config, size, PruneSpec(0.5))
            found = info.family.pixels(modality, together, index, plan)
            assert torch.equal(found, info.family.pixels(modality, alone, 0, plan))
            assert len(found) == plan.units
            item = {f"{modality}_grid_thw": together[f"{modality}_grid_thw"][index]}
            assert info.family.units(item) == plan.units


FAMILIES = {"one run": Qwen2_5VL(), "a run a frame": Qwen3VL()}


@pytest.mark.parametrize("layout", FAMILIES)
@given(
    rows=st.integers(1, 20),
    columns=st.integers(1, 20),
    frames=st.integers(1, 9),
    rate=st.sampled_from([0.25, 0.5, 1.0, 2.0, 3.0, 24.0, 29.97]),
)
def test_the_span_is_what_vllms_positions_take(layout: str, rows: int, columns: int, frames: int, rate: float) -> None:
    seconds = float(torch.tensor(2 / rate))  # as the processor tells the model
    video = Media("video", 0, rows, columns, frames, kept=None, seconds=seconds)
    tokens, (feature,) = Prompt([video], 0, apart=layout != "one run").lay_out(pruned=False)
    positions, _ = MODELS[layout][0]().get_mrope_input_positions(tokens, [feature])
    mask = feature.mm_position.is_embed
    frame_positions = positions[:, 1:-1] if mask is None else positions[:, 1:-1][:, mask]
    text = 0 if mask is None else int((~mask[: mask.nonzero()[-1]]).sum()) - int(mask.nonzero()[0])
    taken = int(frame_positions.max() - frame_positions.min()) + 1 - text
    group = Group(rows, columns, 1, frames)
    assert FAMILIES[layout].span(CONFIG, group, seconds) == taken


def test_the_layout_is_the_sequence_itself() -> None:
    plan = TokenPlan((Group(2, 3, kept=2, copies=2),), structural=0, span=6, units=48)
    layout = Qwen3VL().layout(plan)
    assert layout.groups[0].tolist() == list(range(12))
    assert len(layout.structural) == 0
