"""How many crops vLLM's scheduler lets into one step, held against what its memory profiling ran.

The scheduler, the requests and the batches are vLLM's own; requests come from the real processor.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from PIL import Image
from vllm import SamplingParams
from vllm.config import ModelConfig, VllmConfig
from vllm.engine.arg_utils import EngineArgs
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.encoder_budget import MultiModalBudget
from vllm.multimodal.inputs import (
    MultiModalBatchedField,
    MultiModalFeatureSpec,
    MultiModalFieldElem,
    MultiModalKwargsItem,
)
from vllm.multimodal.utils import group_and_batch_mm_items
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
from vllm.v1.outputs import ModelRunnerOutput
from vllm.v1.request import Request
from vllm.v1.structured_output import StructuredOutputManager

from gprune_vllm.families.anyres import largest_plan
from gprune_vllm.families.llava_next import GPruneLlavaNextProcessor
from tests.support.photos import generated
from tests.unit.gprune_vllm.conftest import Build
from tests.unit.gprune_vllm.processing import BEGIN, DEMO, IMAGE, TEXT, process_prompt
from tests.unit.gprune_vllm.stub_model import stub_model

LARGEST = largest_plan(DEMO.pinpoints, DEMO.crop_size, DEMO.patch_size)
BLOCKS, BLOCK_SIZE = 4096, 16
BUDGET = 4 * LARGEST.input
"""Tokens a step, in which four images of the largest size are profiled."""
CROWDS: dict[str, tuple[Sequence[tuple[int, int]], dict[str, Any]]] = {
    "large, pruned": ([(224, 224)], {"prune_ratio": 0.9}),
    "large, one token kept": ([(224, 224)], {"visual_token_budget": 1}),
    "narrow, unpruned": ([(700, 23)], {}),
    "narrow, one token kept": ([(700, 23)] * 4, {"visual_token_budget": 1}),
    "of all sizes": ([(224, 224), (112, 112), (23, 700), (300, 100)], {"prune_ratio": 0.7}),
}
"""Pictures of a prompt, width and height, and what is asked of them."""


@pytest.fixture(scope="module")
def engine(model_config: ModelConfig) -> VllmConfig:
    """vLLM's configuration of an engine that serves the checkpoint."""
    return EngineArgs(
        model_config.model,
        dtype="float32",
        enforce_eager=True,
        max_num_batched_tokens=BUDGET,
        max_num_seqs=256,
        enable_prefix_caching=False,
    ).create_engine_config()


@pytest.fixture
def scheduler(engine: VllmConfig, build: Build) -> Scheduler:
    """The scheduler that this engine makes."""
    build()  # default settings
    engine.cache_config.num_gpu_blocks = BLOCKS
    attention = FullAttentionSpec(block_size=BLOCK_SIZE, num_kv_heads=1, head_size=1, dtype=torch.float32)
    cache = KVCacheConfig(BLOCKS, [], [KVCacheGroupSpec(["layer"], attention)])
    return Scheduler(engine, cache, StructuredOutputManager(engine), BLOCK_SIZE)


def profiled_crops(engine: VllmConfig) -> int:
    """Crops that vLLM's memory profiling runs through the tower at once."""
    dummies = MultiModalBudget(engine, MULTIMODAL_REGISTRY).get_dummy_encoder_profile_inputs()
    return sum(len(item["pixel_values"].data) for _, item in dummies)


def request_of(
    processor: GPruneLlavaNextProcessor, name: str, images: list[Image.Image], asked: dict[str, Any]
) -> Request:
    """A prompt of these images and a token of text, as the engine gets it."""
    result = process_prompt(processor, [BEGIN] + [IMAGE] * len(images) + [TEXT], images, asked, None)
    items, identifiers, places = (result[key]["image"] for key in ("mm_kwargs", "mm_hashes", "mm_placeholders"))
    features = [
        MultiModalFeatureSpec(item, "image", identifier, place)
        for item, identifier, place in zip(items, identifiers, places, strict=True)
    ]
    parameters = SamplingParams(max_tokens=1, ignore_eos=True)
    return Request(name, result["prompt_token_ids"], parameters, None, mm_features=features)


def crowd(
    processor: GPruneLlavaNextProcessor, sizes: Sequence[tuple[int, int]], asked: dict[str, Any], count: int
) -> list[Request]:
    """Requests of pictures that no other request has."""
    pictures = [[generated(*size, seed=10 * place + i) for i, size in enumerate(sizes)] for place in range(count)]
    return [request_of(processor, str(place), images, asked) for place, images in enumerate(pictures)]


def steps(scheduler: Scheduler, requests: Sequence[Request]) -> Iterator[list[MultiModalKwargsItem]]:
    """The images of each step, until all requests are answered."""
    for request in requests:
        scheduler.add_request(request)
    by_name = {request.request_id: request for request in requests}
    while scheduler.has_unfinished_requests():
        output = scheduler.schedule()
        assert output.total_num_scheduled_tokens
        yield [
            by_name[name].mm_features[place].data
            for name, places in output.scheduled_encoder_inputs.items()
            for place in places
        ]
        scheduler.update_from_output(output, answer(scheduler, output))


def answer(scheduler: Scheduler, output: SchedulerOutput) -> ModelRunnerOutput:
    """A token for each request whose prompt is computed."""
    names = list(output.num_scheduled_tokens)
    done = [scheduler.requests[name].num_computed_tokens >= scheduler.requests[name].num_tokens for name in names]
    places = {name: place for place, name in enumerate(names)}
    return ModelRunnerOutput(names, places, [[TEXT] if ended else [] for ended in done])


def crops_of(items: Sequence[MultiModalKwargsItem]) -> int:
    return sum(len(item["pixel_values"].data) for item in items)


@pytest.mark.parametrize("name", CROWDS)
def test_a_step_has_no_more_crops_than_were_profiled(
    scheduler: Scheduler, engine: VllmConfig, processor: GPruneLlavaNextProcessor, name: str
) -> None:
    requests = crowd(processor, *CROWDS[name], count=24)
    crops = [crops_of(items) for items in steps(scheduler, requests)]
    sent = [feature.data for request in requests for feature in request.mm_features]
    assert max(crops) <= profiled_crops(engine) < crops_of(sent) == sum(crops)


def test_an_image_that_is_in_the_cache_takes_no_room(
    scheduler: Scheduler, engine: VllmConfig, processor: GPruneLlavaNextProcessor
) -> None:
    asked = {"prune_ratio": 0.9}
    requests = [request_of(processor, str(place), [generated(224, 224)], asked) for place in range(24)]
    assert [crops_of(items) for items in steps(scheduler, requests)] == [LARGEST.units]


def disguised(requests: list[Request], field: str) -> list[Request]:
    """The same requests, of whose images the scheduler sees this field and nothing else."""
    element = MultiModalFieldElem(data=torch.zeros(1), field=MultiModalBatchedField())
    for request in requests:
        for feature in request.mm_features:
            feature.data = MultiModalKwargsItem({field: element})
    return requests


def test_images_that_only_workers_see_count_as_the_largest(
    scheduler: Scheduler, engine: VllmConfig, processor: GPruneLlavaNextProcessor
) -> None:
    requests = disguised(crowd(processor, [(112, 112)], {"prune_ratio": 0.9}, count=24), "address")
    most = profiled_crops(engine) // LARGEST.units
    assert [len(items) for items in steps(scheduler, requests)] == [most] * (24 // most)


def test_embeddings_that_need_no_tower_are_limited_by_their_tokens_only(
    scheduler: Scheduler, processor: GPruneLlavaNextProcessor
) -> None:
    requests = disguised(crowd(processor, [(112, 112)], {"prune_ratio": 0.9}, count=24), "image_embeds")
    assert [len(items) for items in steps(scheduler, requests)] == [24]


def test_another_encoder_cache_manager_may_take_its_place(model_config: ModelConfig) -> None:
    named = "vllm.v1.core.encoder_cache_manager.EncoderCacheManager"
    arguments = EngineArgs(model_config.model, ec_manager_config={"encoder_cache_manager_cls": named})
    assert arguments.create_engine_config().ec_manager_config.encoder_cache_manager_cls == named


def test_what_is_kept_of_an_image_holds_no_memory_of_what_is_not(
    model_config: ModelConfig, processor: GPruneLlavaNextProcessor
) -> None:
    model = stub_model(model_config.hf_config).to(model_config.dtype)
    for asked in ({"prune_ratio": 0.9}, {}):
        requests = crowd(processor, [(224, 224), (300, 100)], asked, count=2)
        items = [feature.data for request in requests for feature in request.mm_features]
        for _, batch in group_and_batch_mm_items(items, device="cpu"):
            for embeddings in model.embed_multimodal(**batch):
                assert embeddings.untyped_storage().nbytes() == embeddings.nbytes
