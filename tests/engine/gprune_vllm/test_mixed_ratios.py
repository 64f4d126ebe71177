"""Requests with different ratios share batches and caches without touching each other."""

import random
from concurrent.futures import ThreadPoolExecutor
from itertools import product

from tests.support import photos
from tests.support.questions import Answer, ask, same
from tests.support.servers import Server

PHOTOS = [photos.china(), photos.flower(), photos.generated(100, 300)]
RATIOS = [None, 0.0, 0.3, 0.5, 0.7, 0.9]


def test_concurrent_requests_equal_the_same_requests_one_by_one(server: Server) -> None:
    requests = [*product(range(len(PHOTOS)), RATIOS)] * 3
    random.Random(0).shuffle(requests)

    def answer(request: tuple[int, float | None]) -> Answer:
        image, ratio = request
        return ask(server, [PHOTOS[image]], ratio, max_tokens=8)

    alone = {request: answer(request) for request in set(requests)}
    with ThreadPoolExecutor(16) as threads:
        together = list(threads.map(answer, requests))
    assert len(requests) > 40
    assert [request for request, reply in zip(requests, together, strict=True) if not same(reply, alone[request])] == []


def test_two_images_of_one_prompt_share_its_ratio(server: Server) -> None:
    answer = ask(server, [PHOTOS[0], PHOTOS[2]], 0.5)
    parts = [ask(server, [image], 0.5) for image in (PHOTOS[0], PHOTOS[2])]
    assert answer.visual_tokens is not None
    for count in ("input", "kept"):
        assert answer.visual_tokens[count] == sum((part.visual_tokens or {})[count] for part in parts)


def test_same_image_with_another_ratio_straight_after(server: Server) -> None:
    image = photos.generated(230, 170, seed=5)
    first = [ask(server, [image], ratio) for ratio in RATIOS]
    again = [ask(server, [image], ratio) for ratio in reversed(RATIOS)]
    assert all(same(left, right) for left, right in zip(first, reversed(again), strict=True))
    assert len({answer.prompt_tokens for answer in first}) == 5  # absent and 0 are one


def test_prompt_is_shorter_by_the_tokens_dropped(server: Server) -> None:
    whole, pruned = ask(server, [PHOTOS[1]]), ask(server, [PHOTOS[1]], 0.7)
    assert whole.visual_tokens is not None
    assert pruned.visual_tokens is not None
    dropped = pruned.visual_tokens["input"] - pruned.visual_tokens["kept"]
    assert whole.visual_tokens["kept"] == whole.visual_tokens["input"] == pruned.visual_tokens["input"]
    assert whole.prompt_tokens - pruned.prompt_tokens == dropped > 0
