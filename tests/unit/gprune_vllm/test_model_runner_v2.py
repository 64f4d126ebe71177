"""Our model under vLLM's V2 model runner, the default on GPUs, driven on the CPU.

Requests come from the real processor. Whatever the chunks, the decoder must be given the embeddings and the positions
that the tokens kept have in the unpruned prompt.
"""

from collections import UserDict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from vllm.config import ModelConfig, VllmConfig
from vllm.engine.arg_utils import EngineArgs
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.inputs import MultiModalFeatureSpec
from vllm.tokenizers import cached_tokenizer_from_config

from tests.support.photos import generated
from tests.unit.gprune_vllm.processing import BEGIN, DEMO, IMAGE, LARGE, PHOTO, TEXT, process_prompt
from tests.unit.gprune_vllm.runner_v2 import Request, RunnerV2
from tests.unit.gprune_vllm.stub_model import MAX_TOKENS, expected_image, stub_model

ANSWER = 5
NARROW = generated(300, 100)
PROMPTS: dict[str, tuple[list[int], list[Any], float]] = {
    "one image": ([BEGIN, IMAGE, TEXT, 41, 42], [PHOTO], 0.5),
    "image first and last": ([IMAGE, TEXT, IMAGE], [NARROW, PHOTO], 0.9),
    "two images side by side": ([BEGIN, IMAGE, IMAGE, TEXT], [PHOTO, NARROW], 0.7),
    "the same image twice": ([BEGIN, IMAGE, TEXT, IMAGE, 41], [NARROW, NARROW], 0.7),
    "unpruned": ([BEGIN, IMAGE, TEXT, 43], [NARROW], 0.0),
    "text": ([BEGIN, *range(50, 90)], [], 0.5),
    "the largest image": ([BEGIN, TEXT, IMAGE, TEXT], [LARGE], 0.3),
}


@pytest.fixture(scope="module")
def engine(model_config: ModelConfig) -> VllmConfig:
    """vLLM's configuration of an engine that serves the checkpoint."""
    arguments = EngineArgs(
        model_config.model, dtype="float32", enforce_eager=True, max_num_batched_tokens=MAX_TOKENS, max_num_seqs=8
    )
    return arguments.create_engine_config()


class Prompts(UserDict[str, Any]):
    """Processed prompts by name; too long to be shown when a test fails."""

    def __repr__(self) -> str:
        return "the prompts"


@pytest.fixture(scope="module")
def processed(engine: VllmConfig) -> Prompts:
    """The prompts above, processed."""
    tokenizer = cached_tokenizer_from_config(engine.model_config)
    processor: Any = MULTIMODAL_REGISTRY.create_processor(engine.model_config, tokenizer=tokenizer)
    return Prompts(
        (name, process_prompt(processor, prompt, images, {"prune_ratio": ratio}))
        for name, (prompt, images, ratio) in PROMPTS.items()
    )


@pytest.fixture(scope="module")
def runner(engine: VllmConfig) -> Iterator[RunnerV2]:
    """The runner; buffers, encoder cache and offsets live on from test to test, as they do in a server."""
    with pytest.MonkeyPatch.context() as patch:
        yield RunnerV2(engine, stub_model(engine.model_config.hf_config), patch)


def request_of(processed: Prompts, name: str, suffix: str = "") -> Request:
    """A new request with a processed prompt, and a few tokens of answer after it."""
    result = processed[name]
    image = [result[key].get("image", []) for key in ("mm_kwargs", "mm_hashes", "mm_placeholders")]
    features = [
        MultiModalFeatureSpec(item, "image", identifier, placeholder)
        for item, identifier, placeholder in zip(*image, strict=True)
    ]
    prompt = list(result["prompt_token_ids"])
    return Request(name + suffix, prompt + list(range(100, 100 + ANSWER)), features, len(prompt))


def expectation(runner: RunnerV2, request: Request) -> tuple[Tensor, list[int]]:
    """Embeddings and positions of the request's tokens, worked out image by image from the unpruned prompt."""
    embeddings, positions, start = [], [], 0
    token, ends = 0, {feature.mm_position.offset: feature for feature in request.features}
    while token < len(request.token_ids):
        if token in ends:
            item = ends[token].data
            assert item is not None
            expected, kept = expected_image(runner.model, item, DEMO)
            input_tokens = DEMO.plan(tuple(item["image_sizes"].data.tolist())).input
            embeddings.append(expected)
            positions += (start + kept).tolist()
            token, start = token + len(expected), start + input_tokens
        else:
            ids = torch.tensor(request.token_ids[token : token + 1])
            embeddings.append(runner.model.language_model.embed_input_ids(ids))
            positions.append(start)
            token, start = token + 1, start + 1
    return torch.cat(embeddings), positions


def check(runner: RunnerV2, request: Request, skipped: int = 0) -> None:
    """Hold what the decoder saw against what it should have seen."""
    embeddings, positions = expectation(runner, request)
    assert request.remaining == 0
    assert request.positions == positions[skipped:]
    torch.testing.assert_close(torch.cat(request.embeddings), embeddings[skipped:])


def chunks(request: Request, cuts: list[int]) -> list[int]:
    """Sizes of the chunks that cuts through the prompt make, and of one token each for the answer."""
    ends = sorted({0, request.prefill, *(cut % request.prefill for cut in cuts)})
    return [end - start for start, end in pairwise(ends)] + [1] * ANSWER


cuts = st.lists(st.integers(0, 10**6), max_size=6)


@pytest.mark.parametrize("name", PROMPTS)
@settings(max_examples=25)
@given(cuts=cuts)
def test_any_chunks_of_a_prompt_come_out_right(
    name: str, cuts: list[int], runner: RunnerV2, processed: Prompts
) -> None:
    request = request_of(processed, name)
    runner.slots.clear()
    runner.add(request)
    for count in chunks(request, cuts):
        runner.step([(request, count)])
    check(runner, request)


@settings(max_examples=25)
@given(all_cuts=st.lists(cuts, min_size=len(PROMPTS), max_size=len(PROMPTS)), padding=st.integers(0, 16))
def test_requests_of_all_kinds_share_their_steps(
    all_cuts: list[list[int]], padding: int, runner: RunnerV2, processed: Prompts
) -> None:
    requests = [request_of(processed, name) for name in PROMPTS]
    plans = {request.name: chunks(request, cuts) for request, cuts in zip(requests, all_cuts, strict=True)}
    runner.slots.clear()
    for request in requests:
        runner.add(request)
    while running := [request for request in requests if request.remaining]:
        room = MAX_TOKENS - padding
        scheduled = []
        for request in running:
            count = min(plans[request.name][0], room)
            if count:
                scheduled.append((request, count))
                room -= count
                plans[request.name][0] -= count
                if not plans[request.name][0]:
                    plans[request.name].pop(0)
        runner.step(scheduled, padding)
    for request in requests:
        check(runner, request)


@pytest.mark.parametrize("name", PROMPTS)
@given(found=st.integers(0, 10**6))
@settings(max_examples=10)
def test_a_prompt_may_start_anywhere_in_the_prefix_cache(
    name: str, found: int, runner: RunnerV2, processed: Prompts
) -> None:
    request = request_of(processed, name)
    request.computed = skipped = found % request.prefill
    runner.slots.clear()
    runner.add(request)
    for count in [request.prefill - skipped] + [1] * ANSWER:
        runner.step([(request, count)])
    check(runner, request, skipped)


@pytest.mark.parametrize("name", PROMPTS)
def test_a_preempted_request_resumes_with_its_answer_as_prompt(name: str, runner: RunnerV2, processed: Prompts) -> None:
    request = request_of(processed, name)
    request.prefill += ANSWER - 1  # tokens generated before the preemption
    runner.slots.clear()
    runner.add(request)
    for count in (request.prefill, 1):
        runner.step([(request, count)])
    check(runner, request)


def test_drafts_without_a_model_are_verified_at_their_positions(runner: RunnerV2, processed: Prompts) -> None:
    request = request_of(processed, "one image")
    runner.slots.clear()
    runner.add(request)
    for count in (request.prefill, 1, ANSWER - 1):
        runner.step([(request, count)])
    check(runner, request)


def test_these_prompts_have_gaps(runner: RunnerV2, processed: Prompts) -> None:
    """Otherwise the tests above would pass without any offsets."""
    for name, (_, images, ratio) in PROMPTS.items():
        _, positions = expectation(runner, request_of(processed, name))
        assert (positions != list(range(len(positions)))) == bool(images and ratio)


def test_evicted_images_are_encoded_again_alike(runner: RunnerV2, processed: Prompts) -> None:
    request = request_of(processed, "two images side by side")
    runner.slots.clear()
    runner.add(request)
    for count in chunks(request, [40, 90]):
        runner.cache.reset_encoder_cache()
        runner.step([(request, count)])
    check(runner, request)
