"""Each model family is pruned as its oracle prunes it: in chunks, from caches, in mixed batches, like stock at 0."""

import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image

from gprune_vllm.defaults import METHOD
from tests.support import photos
from tests.support.agreement import assert_agreement, assert_expected
from tests.support.engine import Engine, engine
from tests.support.families import CROWD, FamilyUnderTest
from tests.support.families.qwen_vl import metadata_of
from tests.support.oracle import Oracle
from tests.support.oracle_methods import Method
from tests.support.questions import QUESTION, same

pytestmark = pytest.mark.xdist_group("engines")

CHUNK = 128
LONG = 44
"""Tokens of an answer that is too long for one block of the KV cache of `FamilyUnderTest.block` tokens."""
SECOND = os.environ.get("VLLM_USE_V2_MODEL_RUNNER") == "1"
"""Whether engines have vLLM's second model runner: see `tests.support.second_runner`."""
IMAGES = {
    "photo": [photos.china()],
    "narrow": [photos.generated(700, 23)],
    "two photos": [photos.flower(), photos.generated(100, 300)],
}
VIDEO = photos.generated_video(160, 120, 6)
VIDEOS = {
    "video": [VIDEO],
    "image, video": [photos.china(), VIDEO],
    "video, image, video": [VIDEO, photos.flower(), photos.generated_video(100, 200, 3)],
    "last": [QUESTION, photos.flower(), VIDEO],
}
RATIOS = [0.0, 0.5, 0.9]
PAIRS = [*product(IMAGES, RATIOS)]


@pytest.fixture(scope="module")
def asked(family: FamilyUnderTest, model: Path) -> Iterator[Engine]:
    """An engine that prefills in chunks."""
    settings = {"GPRUNE_PRUNE_METHODS": "all"}
    options = family.arguments | {"max_num_batched_tokens": CHUNK, "enable_prefix_caching": True}
    with engine(model, settings, **options) as running:
        yield running


@pytest.mark.parametrize(("name", "ratio"), PAIRS)
def test_answers_agree_with_the_oracle(asked: Engine, second_opinion: Oracle, name: str, ratio: float) -> None:
    assert_agreement(asked, second_opinion, IMAGES[name], ratio)


@pytest.mark.parametrize("method", get_args(Method))
def test_methods_agree_with_the_oracle(
    asked: Engine, second_opinion: Oracle, family: FamilyUnderTest, method: Method
) -> None:
    if method not in family.methods:
        pytest.skip("the tower cannot be watched")
    assert_agreement(asked, second_opinion, IMAGES["two photos"], 0.7, method=method)


@pytest.mark.parametrize("budget", [20, 10**6])
def test_budgets_agree_with_the_oracle(asked: Engine, second_opinion: Oracle, budget: int) -> None:
    assert_agreement(asked, second_opinion, IMAGES["photo"], budget=budget)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("order", VIDEOS)
def test_videos_agree_with_the_oracle(
    asked: Engine, second_opinion: Any, family: FamilyUnderTest, order: str, ratio: float
) -> None:
    if not family.videos:
        pytest.skip("the family takes no videos")
    content = VIDEOS[order]
    images = [part for part in content if isinstance(part, Image.Image)]
    videos = [part for part in content if isinstance(part, np.ndarray)]
    media = {"image": images, "video": [(video, metadata_of(video)) for video in videos]}
    prompt = second_opinion.chat(*content, *([] if order == "last" else [QUESTION]))
    answer = asked.ask_prompt(prompt, media, ratio)
    assert_expected(answer, second_opinion, images, prompt, ratio, videos=videos)


def test_prefixes_found_in_the_cache_change_nothing(
    asked: Engine, second_opinion: Oracle, family: FamilyUnderTest
) -> None:
    if not family.chunked:
        pytest.skip("vLLM keeps no prefixes")
    question = "Is it day or night? ".ljust(family.block + 100, "?")
    first = assert_agreement(asked, second_opinion, IMAGES["two photos"], 0.5, question)
    again = assert_agreement(asked, second_opinion, IMAGES["two photos"], 0.5, question + "Or neither?")
    assert first.cached_tokens < again.cached_tokens


def test_ratios_share_a_batch(asked: Engine, second_opinion: Oracle) -> None:
    requests = [(image, ratio) for image in IMAGES["two photos"] for ratio in (0.0, 0.3, 0.5, 0.7, 0.9)]
    alone = [asked.ask([image], ratio) for image, ratio in requests]
    together = asked.ask_together(second_opinion.chat(IMAGES["photo"][0], QUESTION), requests)
    for (image, ratio), answer, before in zip(requests, together, alone, strict=True):
        if second_opinion.rounded:
            assert_expected(answer, second_opinion, [image], second_opinion.chat(image, QUESTION), ratio)
        else:
            assert same(answer, before)


def test_the_engine_has_the_runner_that_was_asked_for(asked: Engine) -> None:
    assert asked.runner == f"vllm.v1.worker.{'cpu.model_runner' if SECOND else 'cpu_model_runner'}"


# Another engine in this process ends the one before it: no test below may ask `asked` after it.


def test_ratio_zero_equals_stock(asked: Engine, family: FamilyUnderTest, model: Path) -> None:
    answers = [asked.ask(images, 0.0) for images in IMAGES.values()]
    elsewhere = model.with_name("stock")  # vLLM remembers the class of a path
    elsewhere.symlink_to(model)
    with family.stock(), engine(elsewhere, **family.arguments, max_num_batched_tokens=CHUNK) as stock:
        assert type(stock.model).__module__ == f"vllm.model_executor.models.{family.module}"
        for images, answer in zip(IMAGES.values(), answers, strict=True):
            assert same(answer, stock.ask(images))


def test_other_settings_agree_with_the_oracle(second_opinion: Oracle, family: FamilyUnderTest, model: Path) -> None:
    settings = {"GPRUNE_PRUNE_STAGE": "projector", "GPRUNE_PRUNE_POSITIONS": "contiguous"}
    settings |= {"GPRUNE_PRUNE_METHODS": "all"}
    with engine(model, settings, **family.arguments, enable_prefix_caching=False) as other:
        for (name, images), method in product(IMAGES.items(), ("gprune", "tome")):
            assert_agreement(
                other, second_opinion, images, 0.7, name, method=method, stage="projector", positions="contiguous"
            )
        for images in IMAGES.values():
            plain, default = (other.ask(images, 0.7, prune_method=method) for method in ("gprune", METHOD))
            assert plain.prompt_tokens == default.prompt_tokens


def test_preempted_requests_resume_where_they_were(
    second_opinion: Oracle, family: FamilyUnderTest, model: Path
) -> None:
    images, ratio = IMAGES["photo"], 0.9
    prompt = second_opinion.chat(*images, QUESTION.ljust(len(QUESTION) + family.block - 64, "?"))
    few: dict[str, Any] = {"num_gpu_blocks_override": family.crowding, "max_model_len": max(256, 4 * family.block)}
    few |= family.arguments | {"enable_prefix_caching": False}
    few |= {} if family.linear else {"block_size": family.block}
    with engine(model, disable_log_stats=False, **few) as crowded:
        answers = crowded.ask_together(prompt, [(images[0], ratio)] * CROWD, LONG)
        assert crowded.preemptions > 0  # each request begins with one block, and asks for another
    for answer in {answer.token_ids: answer for answer in answers}.values():
        assert_expected(answer, second_opinion, images, prompt, ratio, max_new_tokens=LONG)


if SECOND:  # after drafts, the first runner on a CPU starts no other engine in the process

    def test_drafts_without_a_model_change_nothing(second_opinion: Oracle, model: Path) -> None:
        drafts = {"method": "ngram", "num_speculative_tokens": 2, "prompt_lookup_min": 1, "prompt_lookup_max": 2}
        with engine(model, speculative_config=drafts) as drafting:
            assert_agreement(drafting, second_opinion, IMAGES["two photos"], 0.5)
