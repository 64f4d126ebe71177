"""What a request's pruning does to the keys of vLLM's caches."""

from typing import Any

import pytest
from vllm.config import ModelConfig
from vllm.multimodal.cache import LruKeyReplicatedSenderCache, MultiModalProcessorOnlyCache
from vllm.multimodal.processing.inputs import ProcessorInputs

from gprune_vllm.account import RECORD_KEY
from gprune_vllm.defaults import METHOD
from gprune_vllm.families.llava_next import GPruneLlavaNextProcessor
from tests.support.photos import generated
from tests.unit.gprune_vllm.conftest import Build
from tests.unit.gprune_vllm.processing import IMAGE, PHOTO, granted, hashes, plan_of, process

NO_PRUNING: list[dict[str, Any]] = [
    *({"prune_ratio": ratio} for ratio in (0, 0.0, -0.0, None)),
    *({"visual_token_budget": budget} for budget in (None, plan_of(PHOTO).patches, 10**400)),
    {"prune_method": "tome"},
    {"prune_method": "tome", "prune_ratio": 0},
    {"prune_method": "random", "visual_token_budget": 10**6},
    {"prune_method": None},
]


@pytest.mark.parametrize("asking", NO_PRUNING, ids=lambda asking: str(asking)[:60])
def test_no_pruning_is_one_request_however_it_is_asked_for(build: Build, asking: dict[str, Any]) -> None:
    processor = build(prune_methods="tome,random")
    plain, asked = process(processor, PHOTO), process(processor, PHOTO, **asking)
    assert hashes(asked) == hashes(plain)
    assert asked["prompt_token_ids"] == plain["prompt_token_ids"]
    assert asked[RECORD_KEY].account.kept == plain[RECORD_KEY].account.kept == plan_of(PHOTO).input


def test_no_pruning_hashes_as_in_a_server_without_the_plugin(processor: GPruneLlavaNextProcessor) -> None:
    items = processor.info.parse_mm_data({"image": [PHOTO]}, validate=False)
    upstream = processor._get_mm_hashes(ProcessorInputs([IMAGE], items))
    assert hashes(process(processor, PHOTO, prune_ratio=0)) == list(upstream["image"])


def test_each_ratio_hashes_to_its_own(processor: GPruneLlavaNextProcessor) -> None:
    found = [hashes(process(processor, PHOTO, prune_ratio=ratio))[0] for ratio in (0, 0.1, 0.5, 0.501, 0.9)]
    assert len(set(found)) == 5


SAME_PLAN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"prune_ratio": 0.3}, {"prune_ratio": 0.1 + 0.2}),
    ({"prune_ratio": 0.5}, {"prune_ratio": 0.5 - 1e-9}),
    ({"prune_ratio": 0.5}, {"visual_token_budget": plan_of(PHOTO, 0.5).patches_kept}),
]


@pytest.mark.parametrize(("one", "other"), SAME_PLAN)
def test_what_means_the_same_plan_hashes_alike(
    processor: GPruneLlavaNextProcessor, one: dict[str, Any], other: dict[str, Any]
) -> None:
    left, right = process(processor, PHOTO, **one), process(processor, PHOTO, **other)
    assert hashes(left) == hashes(right)
    assert left["prompt_token_ids"] == right["prompt_token_ids"]


def test_an_image_that_a_budget_leaves_whole_hashes_as_unpruned_beside_a_pruned_one(
    processor: GPruneLlavaNextProcessor,
) -> None:
    small, large = generated(8, 300), PHOTO
    budget = plan_of(small).patches
    assert budget < plan_of(large).patches
    both = hashes(process(processor, small, large, visual_token_budget=budget))
    assert both == [
        *hashes(process(processor, small)),
        *hashes(process(processor, large, visual_token_budget=budget)),
    ]


def test_each_budget_and_method_hashes_to_its_own(build: Build) -> None:
    processor = build(prune_methods="tome,random")
    asked: list[dict[str, Any]] = [
        {},
        *({"visual_token_budget": budget} for budget in (10, 11, 100)),
        *({"visual_token_budget": 10, "prune_method": method} for method in ("tome", "random")),
        *({"prune_ratio": 0.5, "prune_method": method} for method in (METHOD, "tome", "random")),
    ]
    found = [hashes(process(processor, PHOTO, **asking))[0] for asking in asked]
    assert len(set(found)) == len(asked)


def test_naming_the_default_method_changes_nothing(build: Build) -> None:
    processor = build(prune_methods="tome,random")
    named = process(processor, PHOTO, prune_ratio=0.5, prune_method=METHOD)
    assert hashes(named) == hashes(process(processor, PHOTO, prune_ratio=0.5))
    assert hashes(named) == hashes(process(build(), PHOTO, prune_ratio=0.5))


def test_a_default_method_hashes_as_if_asked_for(build: Build) -> None:
    asked = hashes(process(build(prune_methods="tome"), PHOTO, prune_ratio=0.5, prune_method="tome"))
    assert hashes(process(build(prune_method="tome"), PHOTO, prune_ratio=0.5)) == asked


def test_a_default_hashes_as_if_asked_for(build: Build) -> None:
    asked = hashes(process(build(), PHOTO, prune_ratio=0.5))
    assert hashes(process(build(default_prune_ratio=0.5), PHOTO)) == asked


def test_a_ratio_that_the_policy_chose_hashes_as_if_asked_for(build: Build) -> None:
    processor = build(prune_policy="adaptive")
    assert hashes(process(processor, PHOTO, **granted(0.35))) == hashes(process(build(), PHOTO, prune_ratio=0.35))
    assert hashes(process(processor, PHOTO, **granted(0))) == hashes(process(processor, PHOTO))


OTHER_SETTINGS: list[dict[str, Any]] = [
    {},
    {"prune_method": "l2norm"},
    {"prune_stage": "projector"},
    {"prune_positions": "contiguous"},
    {"prune_threshold": 0.4},
    {"prune_temperature": None},
    {"prune_iterations": 4},
    {"prune_score": "ones"},
    {"prune_similarity": "euclidean"},
]


def test_settings_that_change_the_tokens_change_the_hash(build: Build) -> None:
    pruned = [hashes(process(build(**settings), PHOTO, prune_ratio=0.5))[0] for settings in OTHER_SETTINGS]
    assert len(set(pruned)) == len(OTHER_SETTINGS)


def test_settings_leave_unpruned_images_as_they_are(build: Build) -> None:
    unpruned = [hashes(process(build(**settings), PHOTO))[0] for settings in OTHER_SETTINGS]
    assert len(set(unpruned)) == 1


@pytest.mark.parametrize("ratio", [0, 0.5])
def test_what_a_client_says_about_the_settings_is_dropped(processor: GPruneLlavaNextProcessor, ratio: float) -> None:
    honest = process(processor, PHOTO, prune_ratio=ratio)
    forged = process(processor, PHOTO, prune_ratio=ratio, prune_settings="anything")
    assert hashes(forged) == hashes(honest)
    assert forged[RECORD_KEY].account == honest[RECORD_KEY].account


def test_other_processor_arguments_still_count(processor: GPruneLlavaNextProcessor) -> None:
    plain = process(processor, PHOTO, prune_ratio=0.5)
    assert hashes(process(processor, PHOTO, prune_ratio=0.5, do_rescale=False)) != hashes(plain)


@pytest.mark.parametrize("cache_class", [MultiModalProcessorOnlyCache, LruKeyReplicatedSenderCache])
def test_an_image_found_in_the_cache_is_accounted_for_like_a_new_one(
    processor: GPruneLlavaNextProcessor, model_config: ModelConfig, cache_class: Any
) -> None:
    cache = cache_class(model_config)
    first = process(processor, PHOTO, cache=cache, prune_ratio=0.5)
    both = process(processor, PHOTO, generated(100, 300), cache=cache, prune_ratio=0.5)
    again = process(processor, PHOTO, cache=cache, prune_ratio=0.5)
    unpruned = process(processor, PHOTO, cache=cache)
    assert (
        again[RECORD_KEY].account
        == first[RECORD_KEY].account
        == process(processor, PHOTO, prune_ratio=0.5)[RECORD_KEY].account
    )
    assert again["prompt_token_ids"] == first["prompt_token_ids"]
    assert both[RECORD_KEY].account.kept == first[RECORD_KEY].account.kept + plan_of(generated(100, 300), 0.5).kept
    assert unpruned[RECORD_KEY].account.kept == plan_of(PHOTO).input
