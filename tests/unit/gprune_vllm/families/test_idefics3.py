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
def test_a_request_for_no_tiles_gets_the_thumbnail_alone(name: str, build_family: BuildFamily) -> None:
    info = build_family(name).info
    size, kwargs = MediaSize(LONGEST, LONGEST), {"do_image_splitting": False}
    tiles, thumbnail = info.plan("image", size, PruneSpec(0.5), kwargs).groups
    assert (tiles.tokens, thumbnail.tokens, thumbnail.kept) == (0, 16, 8)
    assert info.plan("image", size, PruneSpec(0.5), {}).units == 5


def test_tiles_come_before_the_thumbnail(build_family: BuildFamily) -> None:
    info = build_family("idefics3").info
    plan = info.plan("image", MediaSize(TILE, LONGEST), PruneSpec())
    tiles, thumbnail = info.family.layout(plan).groups
    assert (tiles.tolist(), thumbnail.tolist()) == ([*range(32)], [*range(32, 48)])
