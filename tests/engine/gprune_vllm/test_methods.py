"""Every method is served as an independent computation has it, and requests of all kinds share a server."""

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support import photos
from tests.support.agreement import assert_agreement
from tests.support.oracle import Oracle
from tests.support.oracle_methods import Method
from tests.support.questions import Answer, ask, same
from tests.support.servers import Server

METHODS = pytest.mark.parametrize(
    "method", ["l2norm", "divprune", "tome", "visionzip", "gprune-nms", "gprune-blend", "scope"]
)
IMAGES = {
    "photo": [photos.china()],
    "tall": [photos.generated(100, 300)],
    "no grid at all": [photos.generated(700, 23)],
    "two photos": [photos.flower(), photos.grace_hopper()],
}
AMOUNTS: dict[str, dict[str, Any]] = {
    "ratio 0.3": {"prune_ratio": 0.3},
    "ratio 0.9": {"prune_ratio": 0.9},
    "budget 90": {"visual_token_budget": 90},
    "budget 1": {"visual_token_budget": 1},
}
PAIRS = [(name, [*AMOUNTS][(place + shift) % len(AMOUNTS)]) for shift in (0, 1) for place, name in enumerate(IMAGES)]
"""Each image with two amounts, and each amount with two images."""


def agrees(server: Server, oracle: Oracle, name: str, method: Method, amount: dict[str, Any]) -> None:
    ratio, budget = amount.get("prune_ratio", 0.0), amount.get("visual_token_budget")
    answer = assert_agreement(server, oracle, IMAGES[name], ratio, method=method, budget=budget)
    told = answer.visual_tokens or {}
    assert (told["method"], told.get("budget")) == (method, budget)


@METHODS
@pytest.mark.parametrize(("name", "amount"), PAIRS)
def test_methods_agree_with_the_oracle(server: Server, oracle: Oracle, name: str, amount: str, method: Method) -> None:
    agrees(server, oracle, name, method, AMOUNTS[amount])


@pytest.mark.parametrize("name", IMAGES)
def test_a_budget_for_gprune_agrees_with_the_oracle(server: Server, oracle: Oracle, name: str) -> None:
    agrees(server, oracle, name, "gprune", {"visual_token_budget": 90})


def test_requests_of_all_kinds_at_once_equal_the_same_one_by_one(server: Server) -> None:
    pictures = [photos.china(), photos.flower(), photos.generated(100, 300)]
    kinds: list[dict[str, Any]] = [
        {},
        {"prune_method": "tome"},
        *({"prune_ratio": ratio} for ratio in (0.0, 0.5)),
        *({"visual_token_budget": budget} for budget in (40, 10**6)),
        *(
            {"prune_method": method, **amount}
            for method in ("divprune", "l2norm", "random", "tome", "visionzip")
            for amount in ({"prune_ratio": 0.6}, {"visual_token_budget": 40})
        ),
    ]
    requests = [(picture, kind) for picture in range(len(pictures)) for kind in range(len(kinds))] * 2
    random.Random(0).shuffle(requests)

    def answer(request: tuple[int, int]) -> Answer:
        return ask(server, [pictures[request[0]]], max_tokens=8, **kinds[request[1]])

    alone = {request: answer(request) for request in set(requests)}
    with ThreadPoolExecutor(16) as threads:
        together = list(threads.map(answer, requests))
    assert [request for request, reply in zip(requests, together, strict=True) if not same(reply, alone[request])] == []
    assert [reply.visual_tokens for reply in together] == [alone[request].visual_tokens for request in requests]


def test_the_same_image_by_another_method_straight_after(server: Server) -> None:
    image, methods = photos.generated(230, 170, seed=6), ["gprune", "divprune", "tome", "visionzip", "random"]
    first = [ask(server, [image], 0.7, prune_method=method) for method in methods]
    again = [ask(server, [image], 0.7, prune_method=method) for method in reversed(methods)]
    assert all(same(left, right) for left, right in zip(first, reversed(again), strict=True))
    assert len({answer.prompt_tokens for answer in first}) == 1
    assert len({answer.logprobs for answer in first}) == len(methods)


def test_a_budget_is_told_with_the_ratio_it_came_to(server: Server) -> None:
    answer = ask(server, IMAGES["photo"], visual_token_budget=112, prune_method="divprune")
    # 64 patch tokens in the base crop and 160 in the grid, with 10 newlines that always stay
    told = {
        "input": 234,
        "kept": 122,
        "images": 1,
        "videos": 0,
        "prune_ratio": 0.5,
        "method": "divprune",
        "budget": 112,
    }
    assert answer.visual_tokens == told


def test_a_method_that_prunes_nothing_is_found_in_the_cache_of_no_method(server: Server) -> None:
    image = photos.generated(230, 170, seed=7)
    question = "What do you see in this picture, and what else is there? " * 4
    plain = ask(server, [image], question=question)
    for nothing in ({"prune_method": "tome"}, {"visual_token_budget": 10**400}, {"prune_ratio": 0}):
        answer = ask(server, [image], question=question, **nothing)
        assert answer.cached_tokens > 0
        assert same(answer, plain)


def test_ratios_that_mean_the_same_plan_find_each_other_in_the_cache(server: Server) -> None:
    image = photos.generated(230, 170, seed=9)
    first = ask(server, [image], 0.3)
    again = ask(server, [image], 0.1 + 0.2)
    assert first.cached_tokens == 0
    assert again.cached_tokens > 0
    assert same(again, first)


@pytest.mark.parametrize("method", ["gprune-nms", "gprune-blend", "grid", "scope"])
def test_methods_without_an_oracle_answer_alike_from_the_cache_and_among_others(server: Server, method: str) -> None:
    image, question = photos.generated(230, 170, seed=10), "What do you see in this picture, and what else is there?"
    first = ask(server, [image], 0.7, question=question, prune_method=method)
    again = ask(server, [image], 0.7, question=question, prune_method=method)
    other = ask(server, [image], 0.7, question=question, prune_method="gprune")
    assert same(again, first)
    assert (first.visual_tokens or {})["method"] == method
    assert other.logprobs != first.logprobs


def test_metrics_know_each_method(server: Server) -> None:
    names = 'gprune_requests_total{method="tome",source="request"}', 'gprune_selection_seconds_count{method="tome"}'
    before = server.metrics()
    ask(server, [photos.generated(230, 170, seed=8)], 0.5, max_tokens=1, prune_method="tome")
    after = server.metrics()
    assert [after[name] - before[name] for name in names] == [1, 1]
