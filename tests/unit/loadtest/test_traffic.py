"""The mix: everything that is promised comes, and what is valid is well formed."""

import json
import random
from collections import Counter
from typing import Any

import pytest

from loadtest.images import draw
from loadtest.soak.invalid import INVALID
from loadtest.soak.pictures import SIZES
from loadtest.soak.request import Request
from loadtest.soak.traffic import BUDGETS, METHODS, RATIOS, Traffic
from server.media import GuardedImageIO
from server.schema import PrunableBatchRequest, PrunableChatRequest, PrunableResponsesRequest
from tests.unit.gprune_vllm.support import METHOD_NAMES

SCHEMAS = {
    "/v1/chat/completions": PrunableChatRequest,
    "/v1/chat/completions/batch": PrunableBatchRequest,
    "/v1/responses": PrunableResponsesRequest,
}


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    """Enough of them for whatever is rare."""
    traffic = Traffic("model", seed=1)
    return [traffic.draw() for _ in range(1500)]


def bodies(requests: list[Request]) -> list[dict[str, Any]]:
    return [json.loads(request.content) for request in requests if not request.invalid]


def test_the_same_seed_gives_the_same_requests(requests: list[Request]) -> None:
    again, other = Traffic("model", seed=1), Traffic("model", seed=2)
    assert [again.draw() for _ in range(20)] == requests[:20]
    assert [other.draw() for _ in range(20)] != requests[:20]


def test_every_kind_comes(requests: list[Request]) -> None:
    kinds = Counter(request.kind for request in requests if not request.invalid)
    assert set(kinds) == {"chat", "chat stream", "batch", "responses", "text"}
    assert min(kinds.values()) > 30
    assert {request.kind for request in requests if request.invalid} == {make("model").kind for make in INVALID}
    leaving = [request.patience for request in requests if request.patience is not None]
    assert 50 < len(leaving) < 300
    assert min(leaving) < 0.1 < 1 < max(leaving)


def test_all_ratios_budgets_and_methods_come(requests: list[Request]) -> None:
    sent = bodies(requests)
    assert {body.get("prune_ratio") for body in sent} == {None, *RATIOS}
    assert {body.get("visual_token_budget") for body in sent} == {None, *BUDGETS}
    assert {body.get("prune_method") for body in sent} == {None, *METHODS}
    assert set(METHODS) == set(METHOD_NAMES)
    assert {body.get("stream") for body in sent} == {None, True, False}


def test_prompts_have_none_one_and_several_pictures(requests: list[Request]) -> None:
    chats = bodies([request for request in requests if request.kind.startswith("chat")])
    counts = Counter(
        sum(part["type"] == "image_url" for part in message["content"])
        for body in chats
        for message in body["messages"]
    )
    assert set(counts) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("path", SCHEMAS)
def test_valid_bodies_are_what_the_endpoint_takes(requests: list[Request], path: str) -> None:
    sent = [request for request in requests if request.path == path and not request.invalid]
    assert len(sent) > 30
    for request in sent:
        assert SCHEMAS[path].model_validate_json(request.content).prune_method in (None, *METHODS)


@pytest.mark.parametrize("size", SIZES)
def test_pictures_are_what_the_server_takes(size: tuple[int, int]) -> None:
    reader = GuardedImageIO(max_pixels=10**6, max_bytes=10**6, image_mode="RGB")
    kind, _, encoded = draw(size, random.Random(0)).partition(";base64,")
    assert kind in ("data:image/png", "data:image/jpeg")
    loaded = reader.load_base64("image", encoded)
    assert getattr(loaded, "media", loaded).size == size


def test_half_of_the_pictures_come_again(requests: list[Request]) -> None:
    sent = b"".join(request.content for request in requests if not request.invalid)
    urls = [rest.partition(b'"')[0] for rest in sent.split(b'"data:')[1:]]
    assert 0.4 < sum(count - 1 for count in Counter(urls).values()) / len(urls) < 0.6
