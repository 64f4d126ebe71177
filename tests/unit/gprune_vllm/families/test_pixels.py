"""The pixels that name an image are its own, whatever else is in the prompt."""

from typing import Any

import pytest
from PIL import Image

from gprune_vllm.adapter.inputs import PLAN_FIELDS
from gprune_vllm.adapter.refusal import RATIO_KEY
from gprune_vllm.plan import PlannedImage
from tests.support.photos import generated
from tests.unit.gprune_vllm.conftest import BuildFamily

NAMES = ("glm4v", "internvl", "internvl_chat", "kimi_vl", "llava", "llava_next", "llava_onevision", "qwen3_vl")
LARGE, SMALL = generated(230, 170), generated(130, 90)


def digests(processor: Any, *images: Image.Image) -> list[int]:
    items = processor.info.parse_mm_data({"image": [*images]}, validate=False)
    rows = processor._apply_hf_processor_main(items, {RATIO_KEY: 0.5})[PLAN_FIELDS["image"]]
    return [PlannedImage.of(row.tolist()).digest for row in rows]


@pytest.mark.parametrize("name", NAMES)
def test_an_image_has_its_own_digest(build_family: BuildFamily, name: str) -> None:
    processor = build_family(name)
    large, small, again = digests(processor, LARGE, SMALL, LARGE)
    assert [large] == digests(processor, LARGE) == [again]
    assert [small] == digests(processor, SMALL) != [large]
