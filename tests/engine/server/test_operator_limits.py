"""What the operator sets applies to every endpoint: default ratio, limit, method."""

from dataclasses import replace

import pytest

from tests.support import photos
from tests.support.questions import Answer, ask, messages
from tests.support.servers import MODEL, Server

PHOTO = photos.generated(300, 200)


def chosen(answer: Answer) -> Answer:
    """What is answered if the server itself chooses the ratio, as far as agreement allows."""
    return replace(answer, visual_tokens={**(answer.visual_tokens or {}), "source": "adaptive"})


def test_default_ratio_applies_where_none_is_named(limited_server: Server) -> None:
    default, explicit = ask(limited_server, [PHOTO]), ask(limited_server, [PHOTO], 0.5)
    assert default == chosen(explicit)
    assert default.visual_tokens is not None
    assert default.visual_tokens["prune_ratio"] == 0.5
    assert default.visual_tokens["method"] == "random"


def test_zero_turns_the_default_off(limited_server: Server) -> None:
    answer = ask(limited_server, [PHOTO], 0)
    assert answer.visual_tokens is not None
    assert answer.visual_tokens["kept"] == answer.visual_tokens["input"]


@pytest.mark.parametrize("prompt", [messages([PHOTO]), messages([])])
def test_ratio_above_the_limit_is_refused(limited_server: Server, prompt: list[dict[str, object]]) -> None:
    answer = limited_server.post("/v1/chat/completions", {"model": MODEL, "messages": prompt, "prune_ratio": 0.81})
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["param"] == "prune_ratio"
    assert "0.8" in error["message"]


def test_trusted_processor_arguments_name_the_ratio_too(limited_server: Server) -> None:
    trusted = ask(limited_server, [PHOTO], mm_processor_kwargs={"prune_ratio": 0.7})
    assert trusted.token_ids == ask(limited_server, [PHOTO], 0.7).token_ids
    body = {"model": MODEL, "messages": messages([PHOTO]), "mm_processor_kwargs": {"prune_ratio": 0.9}}
    assert limited_server.post("/v1/chat/completions", body).json()["error"]["param"] == "prune_ratio"


def test_default_ratio_applies_to_a_method_that_is_named(limited_server: Server) -> None:
    named, explicit = (ask(limited_server, [PHOTO], ratio, prune_method="tome") for ratio in (None, 0.5))
    assert named == chosen(explicit)
    assert (named.visual_tokens or {})["method"] == "tome"


def test_budget_takes_the_place_of_the_default_and_obeys_the_limit(limited_server: Server) -> None:
    answer = ask(limited_server, [PHOTO], visual_token_budget=44)  # of 64 and 160 patch tokens, 12 and 32 at the limit
    assert answer.visual_tokens is not None
    assert (answer.visual_tokens["kept"], answer.visual_tokens["prune_ratio"]) == (54, 0.8036)
    body = {"model": MODEL, "messages": messages([PHOTO]), "visual_token_budget": 43}
    answered = limited_server.post("/v1/chat/completions", body)
    assert (answered.status_code, answered.json()["error"]["param"]) == (400, "visual_token_budget")
    assert "--max-prune-ratio" in answered.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "told"), [("gprune", "Choose one of random, tome"), ("fastv", "a paged KV cache cannot do")]
)
@pytest.mark.parametrize("prompt", [messages([PHOTO]), messages([])])
def test_method_that_is_not_enabled_is_refused(
    limited_server: Server, prompt: list[dict[str, object]], method: str, told: str
) -> None:
    body = {"model": MODEL, "messages": prompt, "prune_method": method, "prune_ratio": 0}
    answer = limited_server.post("/v1/chat/completions", body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "prune_method")
    assert told in answer.json()["error"]["message"]


def test_trusted_arguments_and_fields_cannot_ask_for_both(limited_server: Server) -> None:
    body = {
        "model": MODEL,
        "messages": messages([PHOTO]),
        "mm_processor_kwargs": {"prune_ratio": 0.5},
        "visual_token_budget": 100,
    }
    answer = limited_server.post("/v1/chat/completions", body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "visual_token_budget")


def test_random_selection_survives_another_encoding(limited_server: Server) -> None:
    first = ask(limited_server, [PHOTO], 0.6)
    for seed in range(30):  # push the image out of the encoder cache
        ask(limited_server, [photos.generated(300, 200, seed=100 + seed)], 0.0, max_tokens=1)
    assert ask(limited_server, [PHOTO], 0.6, cache_salt="another prefix").token_ids == first.token_ids
