"""InternVL's tiles, held against vLLM's own pixel shuffle, and its videos."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from vllm.model_executor.models.internvl import InternVLChatModel
from vllm.multimodal.processing.context import TimingContext
from vllm.multimodal.processing.inputs import ProcessorInputs

from gprune_vllm.families.internvl_chat import InternVLChat
from gprune_vllm.plan import MediaSize, PruneSpec
from tests.support.photos import generated, generated_video
from tests.unit.gprune_vllm.conftest import BuildFamily

TILE, PATCHES, SIDE = 56, 4, 2
FORMATS = pytest.mark.parametrize("name", ["internvl", "internvl_chat"])


def config(version: str) -> Any:
    tower = SimpleNamespace(image_size=TILE, patch_size=TILE // PATCHES)
    return SimpleNamespace(vision_config=tower, downsample_ratio=0.5, ps_version=version)


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("grid", [(1, 1), (2, 3), (3, 1)])
def test_tokens_lie_where_their_patches_do(version: str, grid: tuple[int, int]) -> None:
    rows, columns = grid
    whole = torch.arange(rows * columns * PATCHES**2).view(rows, PATCHES, columns, PATCHES)
    tiles = whole.transpose(1, 2).reshape(-1, PATCHES, PATCHES, 1)
    model: Any = SimpleNamespace(ps_version=version)
    tokens = InternVLChatModel.pixel_shuffle(model, tiles, 0.5).flatten(0, 2)  # [tokens, 4 patches]
    family, hf_config = InternVLChat(), config(version)
    plan = family.plan(hf_config, MediaSize(rows * TILE, columns * TILE), PruneSpec())
    tiled, thumbnail = family.layout(plan).groups
    corners = whole.reshape(rows * PATCHES, columns * PATCHES)[::2, ::2].flatten()
    assert torch.equal(tokens[tiled].amin(dim=-1), corners)
    assert len(thumbnail) == (0 if grid == (1, 1) else SIDE**2)


@FORMATS
@pytest.mark.parametrize("asked", [{}, {"prune_ratio": 0.7}, {"visual_token_budget": 20}])
def test_each_frame_of_a_video_keeps_as_many_tokens(
    name: str, build_family: BuildFamily, asked: dict[str, Any]
) -> None:
    processor = build_family(name)
    info = processor.info
    prompt = [1, *info.family.placeholder(info, "video"), 40]
    items = info.parse_mm_data({"video": [generated_video(160, 120, 5)]}, validate=False)
    result: Any = processor.apply(
        ProcessorInputs(prompt, items, hf_processor_mm_kwargs=asked), TimingContext(enabled=False)
    )
    (place,) = result["mm_placeholders"]["video"]
    runs = [int(end - start + 1) for start, end in place.extract_embeds_range()]
    kept = {0.7: 4, 20: 4, None: 16}[next(iter(asked.values()), None)]
    assert runs == [kept] * 5


@pytest.mark.parametrize(("kwargs", "tiles"), [({"max_patches": 2}, 2), ({"crop_to_patches": False}, 1), ({}, 6)])
def test_requests_limit_their_tiles(build_family: BuildFamily, kwargs: dict[str, Any], tiles: int) -> None:
    processor: Any = build_family("internvl")
    image = generated(600, 400)
    output = processor._apply_hf_processor_main(
        processor.info.parse_mm_data({"image": [image]}, validate=False), kwargs
    )
    plan = processor.info.plan("image", MediaSize(image.height, image.width), PruneSpec(), kwargs)
    assert plan.units == int(output["image_num_patches"][0]) == tiles + (tiles > 1)
