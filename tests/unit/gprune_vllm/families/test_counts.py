"""Counts of the families that have no file of their own here, held against vLLM's and Transformers'."""

from random import Random
from typing import Any

import pytest
from PIL import Image
from vllm.exceptions import VLLMValidationError
from vllm.multimodal.processing.context import TimingContext
from vllm.multimodal.processing.inputs import ProcessorInputs

from gprune_vllm.plan import MediaSize, PruneSpec
from tests.support.families.qwen_vl import metadata_of
from tests.support.photos import generated, generated_video
from tests.unit.gprune_vllm.conftest import BuildFamily

NAMES = (
    "glm4v",
    "idefics3",
    "internvl",
    "internvl_chat",
    "kimi_vl",
    "llama4",
    "llava_onevision",
    "mistral3",
    "smolvlm",
)
ONE_SIZE = ("kimi_vl", "llava_onevision")
"""Families of which vLLM profiles one size for all models, and refuses images of more tokens."""
BEGIN, TEXT = 1, 40
IMAGES = [generated(width, height) for width, height in ((30, 200), (411, 300), (64, 64), (1000, 77), (112, 112))]


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def processor(name: str, build_family: BuildFamily) -> Any:
    return build_family(name)


def vllm_count(name: str, info: Any, height: int, width: int) -> int | None:
    """None for GLM-4V, whose smallest images vLLM does not count as its processor makes them, and for Mistral 3, whose
    breaks it takes for text."""
    options = {
        "idefics3": lambda: {"processor": info.get_hf_processor(), "mm_kwargs": {}},
        "internvl": lambda: {"processor": info.get_hf_processor(), "mm_kwargs": {}},
        "internvl_chat": lambda: {"processor": info.get_hf_processor()},
        "kimi_vl": dict,
        "llava_onevision": dict,
        "smolvlm": lambda: {"processor": info.get_hf_processor(), "mm_kwargs": {}},
    }
    if name not in options:
        return None
    return int(info.get_num_image_tokens(image_width=width, image_height=height, **options[name]()))


def transformers_count(name: str, info: Any, height: int, width: int) -> int | None:
    """None for Kimi-VL and for InternVL's own format, which Transformers does not have, for Idefics3 and SmolVLM, whose
    tiles vLLM has it count, and where it takes the rows of an image for channels."""
    processor = info.get_hf_processor()
    if name == "llama4":  # tells no count: it has to cut an image, and only some are neither trivial nor large
        cut, image = 10**4 < height * width < 10**5, Image.new("RGB", (width, height))
        return 16 * len(processor.image_processor(image, return_tensors="pt")["pixel_values"]) if cut else None
    if name in ("idefics3", "internvl_chat", "kimi_vl", "smolvlm") or (name == "mistral3" and height in (1, 3)):
        return None
    (count,) = processor._get_num_multimodal_tokens([(height, width)]).num_image_tokens
    return int(count) - (2 if name == "internvl" else 0)  # <img> and </img> are text


def test_thousands_of_sizes_count_as_upstream_counts_them(name: str, processor: Any) -> None:
    draw, info = Random(0), processor.info
    largest = info.family.largest(info, "image")
    for _ in range(3000):
        area, ratio = 10 ** draw.uniform(1, 7), 10 ** draw.uniform(-2, 2)
        height, width = max(1, round((area * ratio) ** 0.5)), max(1, round((area / ratio) ** 0.5))
        plan = info.plan("image", MediaSize(height, width), PruneSpec())
        assert plan.input == plan.kept
        counts = [count(name, info, height, width) for count in (vllm_count, transformers_count)]
        assert {plan.input, *counts} - {None} == {plan.input}, (height, width)
        if name not in ONE_SIZE:
            assert plan.input <= largest.input
            assert plan.units <= largest.units


@pytest.mark.parametrize("asked", [{}, {"prune_ratio": 0.5}, {"prune_ratio": 0.9}, {"visual_token_budget": 20}])
def test_images_get_the_placeholders_that_their_plans_keep(processor: Any, asked: dict[str, Any]) -> None:
    info = processor.info
    prompt = [BEGIN, *(info.family.placeholder(info, "image") * len(IMAGES)), TEXT]
    items = info.parse_mm_data({"image": IMAGES}, validate=False)
    result = processor.apply(ProcessorInputs(prompt, items, hf_processor_mm_kwargs=asked), TimingContext(enabled=False))
    spec = PruneSpec(asked.get("prune_ratio", 0.0), asked.get("visual_token_budget"))
    plans = [info.plan("image", MediaSize(image.height, image.width), spec) for image in IMAGES]
    places = result["mm_placeholders"]["image"]
    assert [place.get_num_embeds() for place in places] == [plan.kept for plan in plans]
    assert [info.family.units(item) for item in result["mm_kwargs"]["image"]] >= [plan.units for plan in plans]
    account = result["gprune"].account
    assert (account.input, account.kept) == (sum(p.input for p in plans), sum(p.kept for p in plans))


def test_layouts_are_the_whole_sequence(processor: Any) -> None:
    for image in IMAGES:
        plan = processor.info.plan("image", MediaSize(image.height, image.width), PruneSpec(0.5))
        layout = processor.info.family.layout(plan)
        positions = [place for group in (*layout.groups, layout.structural) for place in group.tolist()]
        assert sorted(positions) == list(range(plan.input))
        assert [len(group) for group in layout.groups] == [group.tokens * group.copies for group in plan.groups]


@pytest.mark.parametrize("asked", [{"prune_ratio": 0.5}, {"visual_token_budget": 9}])
@pytest.mark.parametrize("name", ["glm4v", "llava_onevision"])
def test_pruning_of_videos_is_refused_where_they_are_taken_whole(
    name: str, build_family: BuildFamily, asked: dict[str, Any]
) -> None:
    processor, video = build_family(name), generated_video(60, 40, 4)
    item = (video, metadata_of(video)) if processor.info.get_data_parser().video_needs_metadata else video
    items = processor.info.parse_mm_data({"video": [item]}, validate=False)
    inputs = ProcessorInputs([BEGIN, TEXT], items, hf_processor_mm_kwargs=asked)
    with pytest.raises(VLLMValidationError, match="only images are pruned") as refusal:
        processor.apply(inputs, TimingContext(enabled=False))
    assert (refusal.value.parameter, refusal.value.reason) == (*asked, "modality")
