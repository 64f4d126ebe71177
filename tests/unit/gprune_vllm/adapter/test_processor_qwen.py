"""From images and videos of Qwen-VL to placeholders, plans, cache keys and accounts, on real processors."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from vllm.exceptions import VLLMValidationError
from vllm.multimodal.cache import MultiModalProcessorOnlyCache
from vllm.multimodal.inputs import MultiModalFeatureSpec
from vllm.multimodal.processing.context import TimingContext
from vllm.multimodal.processing.inputs import ProcessorInputs

from gprune_vllm.account import RECORD_KEY
from gprune_vllm.adapter.inputs import PLAN_FIELDS, planned_in
from gprune_vllm.adapter.processor import PruningProcessor
from gprune_vllm.adapter.refusal import PruneRefusal
from gprune_vllm.plan import MediaSize, PlannedImage, PruneSpec, TokenPlan
from tests.support.families.qwen_vl import FRAME_RATE, metadata_of
from tests.support.photos import generated
from tests.unit.gprune_vllm.conftest import BuildFamily
from tests.unit.gprune_vllm.mrope_prompts import MODELS

NAMES = pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
PHOTO = generated(150, 90)  # width and height


def clip(height: int = 70, width: int = 130, frames: int = 6, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (frames, height, width, 3), dtype=np.uint8)


CLIP = clip()
TEXT = 40


def inputs_of(processor: PruningProcessor, *media: Any, places: int | None = None, **kwargs: object) -> ProcessorInputs:
    """A prompt of images and videos, as many as there are `places`, and a token of text."""
    config = processor.info.config
    prompt, images, videos = [], [], []
    for one in media[:places]:
        token = config.image_token_id if isinstance(one, Image.Image) else config.video_token_id
        prompt += [config.vision_start_token_id, token, config.vision_end_token_id]
    for one in media:
        if isinstance(one, Image.Image):
            images.append(one)
        else:
            videos.append((one, metadata_of(one)) if processor.info.get_data_parser().video_needs_metadata else one)
    data = {name: items for name, items in (("image", images), ("video", videos)) if items}
    items = processor.info.parse_mm_data(data, validate=False)
    return ProcessorInputs([*prompt, TEXT], items, hf_processor_mm_kwargs=kwargs)


def process(processor: PruningProcessor, *media: Any, cache: Any = None, **kwargs: object) -> Any:
    inputs = inputs_of(processor, *media, **kwargs)
    inputs.cache = cache
    return processor.apply(inputs, TimingContext(enabled=False))


def plan_of(processor: PruningProcessor, one: Any, spec: PruneSpec, **kwargs: object) -> TokenPlan:
    if isinstance(one, Image.Image):
        return processor.info.plan("image", MediaSize(one.height, one.width), spec, kwargs)
    frames, height, width, _ = one.shape
    rate = FRAME_RATE if processor.info.get_data_parser().video_needs_metadata else 24
    return processor.info.plan("video", MediaSize(height, width, frames, 1 / rate), spec, kwargs)


def planned(result: Any, modality: str) -> list[PlannedImage | None]:
    """What the model is told of each image or video."""
    return [planned_in(item) for item in result["mm_kwargs"][modality]]


@NAMES
@pytest.mark.parametrize("ratio", [0, 0.4, 0.9])
def test_images_and_videos_are_planned_under_fields_of_their_own(
    build_family: BuildFamily, name: str, ratio: float
) -> None:
    processor = build_family(name)
    result = process(processor, PHOTO, CLIP, prune_ratio=ratio)
    for modality, one in (("image", PHOTO), ("video", CLIP)):
        (item,), (other,) = result["mm_kwargs"][modality], set(PLAN_FIELDS) - {modality}
        assert PLAN_FIELDS[modality] in item
        assert PLAN_FIELDS[other] not in item
        assert item[PLAN_FIELDS[modality]].field.keep_on_cpu
        expected = plan_of(processor, one, PruneSpec(ratio))
        assert [each and each.plan for each in planned(result, modality)] == [expected]
        (place,) = result["mm_placeholders"][modality]
        (token,) = processor.info.family.placeholder(processor.info, modality)
        assert place.get_num_embeds() == expected.kept == result["prompt_token_ids"].count(token)


@NAMES
def test_placeholders_lie_where_the_prompt_has_them(build_family: BuildFamily, name: str) -> None:
    processor = build_family(name)
    result = process(processor, PHOTO, CLIP, clip(90, 60, 4), prune_ratio=0.7)
    tokens = torch.tensor(result["prompt_token_ids"])
    for modality, items in result["mm_placeholders"].items():
        (token,) = processor.info.family.placeholder(processor.info, modality)
        marked = torch.zeros(len(tokens), dtype=torch.bool)
        for item in items:
            inside = torch.ones(item.length, dtype=torch.bool) if item.is_embed is None else item.is_embed
            marked[item.offset : item.offset + item.length] = inside
        assert torch.equal(marked, tokens == token)
    assert len(result["mm_placeholders"]["video"]) == 2


@NAMES
@pytest.mark.filterwarnings("ignore:Passing `min_pixels` and `max_pixels`:FutureWarning")  # vLLM passes them
def test_what_a_request_says_about_pixels_changes_the_plan(build_family: BuildFamily, name: str) -> None:
    processor, spec = build_family(name), PruneSpec(0.5)
    found = []
    for kwargs in ({}, {"max_pixels": 5000}, {"min_pixels": 100_000, "max_pixels": 200_000}):
        result = process(processor, PHOTO, CLIP, prune_ratio=0.5, **kwargs)
        for modality, one in (("image", PHOTO), ("video", CLIP)):
            plan = plan_of(processor, one, spec, **kwargs)
            assert [each and each.plan for each in planned(result, modality)] == [plan]
            assert [place.get_num_embeds() for place in result["mm_placeholders"][modality]] == [plan.kept]
            grid = result["mm_kwargs"][modality][0][f"{modality}_grid_thw"].data
            assert plan.units == grid.prod()
            found.append((modality, plan.kept))
    assert len(set(found)) == len(found)


@NAMES
def test_an_account_counts_images_and_videos(build_family: BuildFamily, name: str) -> None:
    processor = build_family(name)
    media = PHOTO, CLIP, generated(60, 200), clip(90, 60, 3)
    account = process(processor, *media, clip(60, 60, 2), prune_ratio=0.6)[RECORD_KEY].account
    plans = [plan_of(processor, one, PruneSpec(0.6)) for one in (*media, clip(60, 60, 2))]
    assert (account.images, account.videos) == (2, 3)
    assert account.kept == sum(plan.kept for plan in plans)
    assert account.input == account.patches == sum(plan.input for plan in plans)
    assert (account.ratio, account.source, account.budget) == (0.6, "request", None)


@NAMES
@pytest.mark.parametrize("asked", [{"prune_ratio": 0.6}, {"visual_token_budget": 7}], ids=str)
@pytest.mark.parametrize("media", [(PHOTO,), (CLIP,), (PHOTO, CLIP, generated(60, 200), clip(140, 60, 7))], ids=len)
def test_what_may_follow_ends_with_the_models_positions(
    build_family: BuildFamily, name: str, asked: dict[str, Any], media: tuple[Any, ...]
) -> None:
    processor = build_family(name)
    result = process(processor, *media, **asked)
    features = [
        MultiModalFeatureSpec(item, modality, f"{modality} {index}", result["mm_placeholders"][modality][index])
        for modality, items in result["mm_kwargs"].items()
        for index, item in enumerate(items)
    ]
    model = MODELS["a run a frame" if name == "qwen3_vl" else "one run"][1]()
    model.config = processor.info.config
    _, delta = model.get_mrope_input_positions(result["prompt_token_ids"], features)
    following = len(result["prompt_token_ids"]) + delta
    assert result[RECORD_KEY].account.output_limit == processor.info.max_position - following


def test_a_budget_is_one_of_each_image_and_video(build_family: BuildFamily) -> None:
    processor = build_family()
    account = process(processor, PHOTO, CLIP, visual_token_budget=9)[RECORD_KEY].account
    pairs = len(CLIP) // 2
    assert account.kept == 9 + 9 // pairs * pairs


@pytest.mark.parametrize("budget", [1, 2])
def test_a_budget_keeps_a_token_of_each_frame_pair(build_family: BuildFamily, budget: int) -> None:
    result = process(build_family(), CLIP, visual_token_budget=budget)
    assert result[RECORD_KEY].account.kept == len(CLIP) // 2


def test_a_budget_below_the_limit_is_refused_for_a_video(build_family: BuildFamily) -> None:
    processor = build_family(max_prune_ratio=0.5)
    least = plan_of(processor, CLIP, PruneSpec(0.5)).patches_kept
    assert process(processor, CLIP, visual_token_budget=least)[RECORD_KEY].account.kept == least
    with pytest.raises(PruneRefusal) as refusal:
        process(processor, CLIP, visual_token_budget=least - 1)
    assert (refusal.value.parameter, refusal.value.reason) == ("visual_token_budget", "above_limit")


@NAMES
def test_no_pruning_hashes_as_in_a_server_without_the_plugin(build_family: BuildFamily, name: str) -> None:
    processor = build_family(name)
    upstream = processor._get_mm_hashes(inputs_of(processor, PHOTO, CLIP))
    for asked in ({}, {"prune_ratio": 0}, {"visual_token_budget": 10**6}):
        assert process(processor, PHOTO, CLIP, **asked)["mm_hashes"] == upstream
    for modality in ("image", "video"):
        pruned = process(processor, PHOTO, CLIP, prune_ratio=0.5)["mm_hashes"][modality]
        assert pruned != upstream[modality]


@NAMES
def test_what_is_found_in_the_cache_is_accounted_for_like_what_is_new(build_family: BuildFamily, name: str) -> None:
    processor = build_family(name)
    cache = MultiModalProcessorOnlyCache(processor.info.ctx.model_config)
    first, again = (process(processor, PHOTO, CLIP, cache=cache, prune_ratio=0.5) for _ in range(2))
    both = process(processor, CLIP, clip(90, 60, 4), cache=cache, prune_ratio=0.5)
    assert again[RECORD_KEY].account == first[RECORD_KEY].account
    assert again["prompt_token_ids"] == first["prompt_token_ids"]
    assert planned(both, "video")[:1] == planned(first, "video")
    assert both["mm_hashes"]["video"][0] == first["mm_hashes"]["video"][0]


@NAMES
@pytest.mark.parametrize("media", [(PHOTO, CLIP), (CLIP, PHOTO), (CLIP, CLIP)], ids=["video", "image", "second video"])
def test_more_than_there_are_places_for_is_refused(
    build_family: BuildFamily, name: str, media: tuple[Any, ...]
) -> None:
    processor = build_family(name)
    modality = "image" if isinstance(media[-1], Image.Image) else "video"
    count = sum(isinstance(one, Image.Image) == (modality == "image") for one in media)
    with pytest.raises(VLLMValidationError, match=f"has {count} {modality}s, but places for {count - 1}") as refusal:
        processor.apply(inputs_of(processor, *media, places=1), TimingContext(enabled=False))
    assert refusal.value.parameter == "truncate_prompt_tokens"


def test_the_digest_of_a_video_is_one_of_its_pixels(build_family: BuildFamily) -> None:
    processor = build_family()

    def digest(*media: Any) -> Any:
        return [each and each.digest for each in planned(process(processor, *media, prune_ratio=0.5), "video")]

    (alone,) = digest(CLIP)
    assert alone
    assert digest(PHOTO, clip(90, 60, 4), CLIP)[1] == alone
    assert digest(clip(seed=1)) != [alone]


def test_profiling_sees_the_largest_unpruned(build_family: BuildFamily) -> None:
    processor = build_family(default_prune_ratio=0.9)
    dummy = processor.get_dummy_mm_inputs(mm_counts={"image": 1, "video": 1})
    for modality in ("image", "video"):
        (place,) = dummy["mm_placeholders"][modality]
        assert place.get_num_embeds() == processor.info.family.largest(processor.info, modality).input
