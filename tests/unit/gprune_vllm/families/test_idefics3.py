"""What is special to Idefics3: all tiles keep as many tokens, and the text before them stays."""

from typing import Any

import pytest
from vllm.multimodal.processing.context import TimingContext
from vllm.multimodal.processing.inputs import ProcessorInputs

from gprune_vllm.plan import MediaSize, PruneSpec
from tests.support.families.idefics3 import LONGEST, TILE
from tests.support.photos import generated
from tests.unit.gprune_vllm.conftest import BuildFamily

FAMILY = pytest.mark.parametrize("name", ["idefics3", "smolvlm"])


@FAMILY
@pytest.mark.parametrize(("asked", "kept"), [({}, 16), ({"prune_ratio": 0.7}, 4), ({"visual_token_budget": 20}, 4)])
def test_each_tile_keeps_as_many_tokens(name: str, build_family: BuildFamily, asked: dict[str, Any], kept: int) -> None:
    processor = build_family(name)
    place, text = apply(processor, asked)
    assert [int(end - start + 1) for start, end in place.extract_embeds_range()] == [kept] * 5
    assert text == apply(processor, {})[1]


def apply(processor: Any, asked: dict[str, Any]) -> tuple[Any, list[int]]:
    """Where an image of four tiles and a thumbnail is in a prompt, and the text that surrounds its tokens."""
    info = processor.info
    items = info.parse_mm_data({"image": [generated(LONGEST, LONGEST)]}, validate=False)
    prompt = [1, *info.family.placeholder(info, "image"), 40]
    inputs = ProcessorInputs(prompt, items, hf_processor_mm_kwargs=asked)
    result = processor.apply(inputs, TimingContext(enabled=False))
    (token,) = info.family.placeholder(info, "image")
    return result["mm_placeholders"]["image"][0], [each for each in result["prompt_token_ids"] if each != token]


@FAMILY
@pytest.mark.parametrize(
    ("kwargs", "crops"), [({"do_image_splitting": False}, 1), ({"size": {"longest_edge": TILE}}, 1), ({}, 5)]
)
def test_requests_limit_their_tiles(name: str, build_family: BuildFamily, kwargs: dict[str, Any], crops: int) -> None:
    processor: Any = build_family(name)
    items = processor.info.parse_mm_data({"image": [generated(LONGEST, LONGEST)]}, validate=False)
    output = processor._apply_hf_processor_main(items, kwargs)
    plan = processor.info.plan("image", MediaSize(LONGEST, LONGEST), PruneSpec(0.5), kwargs)
    tiles, thumbnail = plan.groups
    assert len(output["pixel_values"]) == int(output["num_patches"][0]) == plan.units == crops
    assert (tiles.tokens * tiles.copies, thumbnail.tokens, thumbnail.kept) == (16 * (crops - 1), 16, 8)


def test_tiles_come_before_the_thumbnail(build_family: BuildFamily) -> None:
    info = build_family("idefics3").info
    plan = info.plan("image", MediaSize(TILE, LONGEST), PruneSpec())
    tiles, thumbnail = info.family.layout(plan).groups
    assert (tiles.tolist(), thumbnail.tolist()) == ([*range(32)], [*range(32, 48)])
