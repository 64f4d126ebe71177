"""What is special to Mistral 3: breaks between rows, patches that the projector joins, and images of a thin line."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from vllm.exceptions import VLLMValidationError
from vllm.model_executor.models.mistral3 import Mistral3PatchMerger
from vllm.multimodal.processing.context import TimingContext
from vllm.multimodal.processing.inputs import ProcessorInputs

from gprune_vllm.families.mistral3 import Mistral3
from gprune_vllm.plan import MediaSize, PlannedImage, PruneSpec
from tests.support.families.mistral3 import LONGEST, MERGE, PATCH
from tests.support.photos import generated
from tests.unit.gprune_vllm.conftest import BuildFamily

SIDE = PATCH * MERGE
"""Pixels along a side of a token."""
CONFIG = SimpleNamespace(vision_config=SimpleNamespace(patch_size=PATCH), spatial_merge_size=MERGE)


def test_a_break_ends_each_row() -> None:
    plan = Mistral3().plan(CONFIG, MediaSize(2 * SIDE, 3 * SIDE), PruneSpec(0.5))
    layout = Mistral3().layout(plan)
    assert layout.structural.tolist() == [3, 7]
    assert layout.groups[0].tolist() == [0, 1, 2, 4, 5, 6]
    assert (plan.input, plan.kept, plan.span) == (8, 5, 8)


def test_tokens_are_scored_on_the_patches_that_the_projector_joins() -> None:
    sizes = [(2, 3), (1, 4)]
    patches = torch.rand(sum(rows * columns * MERGE**2 for rows, columns in sizes), 5)
    planned = [
        PlannedImage(Mistral3().plan(CONFIG, MediaSize(rows * SIDE, columns * SIDE), PruneSpec()))
        for rows, columns in sizes
    ]
    model: Any = SimpleNamespace(config=CONFIG)
    found = Mistral3().features(model, [patches], planned)
    tokens = [Mistral3().split(rows, image.plan)[0] for rows, image in zip(found, planned, strict=True)]
    merger = Mistral3PatchMerger(5, MERGE, PATCH)
    merger.merging_layer = torch.nn.Identity()  # joined, but not yet mapped
    joined = merger(patches, [(rows * SIDE, columns * SIDE) for rows, columns in sizes])
    assert torch.equal(torch.cat(tokens).sort().values, joined.sort().values)


@pytest.mark.parametrize("size", [MediaSize(LONGEST + 1, 1), MediaSize(1, LONGEST + 1)])
def test_an_image_of_which_nothing_is_left_is_refused(build_family: BuildFamily, size: MediaSize) -> None:
    with pytest.raises(VLLMValidationError, match="shorter side") as refusal:
        build_family("mistral3").info.plan("image", size, PruneSpec())
    assert refusal.value.parameter == "image_url"


def test_requests_limit_the_longer_side(build_family: BuildFamily) -> None:
    processor: Any = build_family("mistral3")
    items = processor.info.parse_mm_data({"image": [generated(600, 400)]}, validate=False)
    asked = {"images_kwargs": {"size": {"longest_edge": LONGEST // 2}}, "prune_ratio": 0.5}
    inputs = ProcessorInputs([1, *processor.info.family.placeholder(processor.info, "image"), 40], items, None, asked)
    result = processor.apply(inputs, TimingContext(enabled=False))
    (place,) = result["mm_placeholders"]["image"]
    assert place.get_num_embeds() == place.length == result["gprune"].account.kept == 8 * 6 // 2 + 6
