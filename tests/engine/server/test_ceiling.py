"""The default ratio falls while answers agree too little with the unpruned model, and rises when they agree again."""

from typing import Any

import pytest

from gprune_server.shadow.ceiling import FEWEST
from tests.support.photos import generated
from tests.support.questions import ask, chosen_id, messages
from tests.support.servers import MODEL, Server
from tests.support.waiting import wait_until

PHOTO = generated(120, 90, 8)
JUDGED, LIMIT = 'gprune_shadow_total{outcome="judged"}', "gprune_agreement_prune_ratio"
SURE = 100
"""A bias of a token that leaves the model no other."""


def answer_with(server: Server, token: int) -> None:
    """Have the server answer with one token, at its own ratio, and have the answer judged."""
    before = server.metrics()[JUDGED]
    body = {"model": MODEL, "messages": messages([PHOTO]), "max_tokens": 1, "logit_bias": {token: SURE}}
    assert server.post("/v1/chat/completions", body | {"request_id": chosen_id()}).status_code == 200
    wait_until(lambda: server.metrics()[JUDGED] == before + 1)


def visual(server: Server, **fields: Any) -> Any:
    return ask(server, [PHOTO], max_tokens=1, **fields).visual_tokens


@pytest.fixture
def first_choice(limited_server: Server) -> int:
    """The token that the unpruned model would put first."""
    return ask(limited_server, [PHOTO], 0, max_tokens=1).token_ids[0]


def test_the_default_ratio_falls_and_rises_with_agreement(limited_server: Server, first_choice: int) -> None:
    assert limited_server.metrics()[LIMIT] == visual(limited_server)["prune_ratio"] == 0.5
    for _ in range(FEWEST):
        answer_with(limited_server, first_choice - 1)
    assert limited_server.metrics()[LIMIT] == 0.375
    lowered = visual(limited_server)
    assert (lowered["prune_ratio"], lowered["source"]) == (0.375, "adaptive")
    assert visual(limited_server, ratio=0.5)["prune_ratio"] == 0.5

    for _ in range(FEWEST - 1):
        answer_with(limited_server, first_choice)
    assert limited_server.metrics()[LIMIT] == 0.375

    def has_risen() -> bool:
        answer_with(limited_server, first_choice)
        return limited_server.metrics()[LIMIT] == 0.5

    wait_until(has_risen)
    assert visual(limited_server)["prune_ratio"] == 0.5
