"""What cannot be served is refused with an OpenAI-shaped 400 that names the field, and the engine lives on."""

from typing import Any

import httpx
import pytest

from tests.support import photos
from tests.support.fuzzing.judging import ANTHROPIC, assert_well_formed
from tests.support.fuzzing.refused import REFUSED, Refused
from tests.support.questions import ask, messages, same
from tests.support.servers import API_KEY, MODEL, Server

PHOTO = photos.china()


def refusal(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 400
    assert len(answer.text) < 1000
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return dict(error)


def send(server: Server, refused: Refused) -> httpx.Response:
    case = refused.case
    headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": case.content_type}
    return httpx.post(f"{server.url}{case.path}", content=case.body, headers=headers, timeout=60)


@pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: refused.name)
def test_what_must_be_refused_is(server: Server, refused: Refused) -> None:
    answer = send(server, refused)
    if refused.field is None:
        assert 400 <= answer.status_code < 500
        assert_well_formed(refused.case.path, answer)
    else:
        if refused.case.path == ANTHROPIC:  # whose errors have no field to name it in
            assert answer.status_code == 400
            assert_well_formed(refused.case.path, answer)
            return
        error = refusal(answer)
        assert error["param"] == refused.field
        assert refused.field != "prune_ratio" or "[0, 1)" in error["message"]


def test_text_is_completed_or_refused_with_a_processors_arguments(server: Server) -> None:
    body = {"model": MODEL, "prompt": "Hello", "max_tokens": 1, "mm_processor_kwargs": {"prune_ratio": 0.5}}
    assert server.post("/v1/completions", body).status_code in (200, 400)


def test_prompt_whose_unpruned_length_exceeds_the_positions_is_refused(server: Server) -> None:
    body = {"model": MODEL, "messages": messages([photos.grace_hopper()] * 14), "prune_ratio": 0.9}
    error = refusal(server.post("/v1/chat/completions", body))
    assert error["param"] == "prune_ratio"
    assert "--prune-positions contiguous" in error["message"]


@pytest.mark.parametrize("length", [{}, {"max_completion_tokens": 1200}])
def test_output_ends_with_the_positions(server: Server, length: dict[str, int]) -> None:
    before = ask(server, [PHOTO], 0.7)
    body = {"model": MODEL, "messages": messages([photos.grace_hopper()] * 12), "prune_ratio": 0.9, "ignore_eos": True}
    usage = server.post("/v1/chat/completions", body | length).json()["usage"]
    dropped = usage["visual_tokens"]["input"] - usage["visual_tokens"]["kept"]
    assert usage["total_tokens"] + dropped == 4096
    assert same(ask(server, [PHOTO], 0.7), before)


def test_openapi_shows_the_fields(server: Server) -> None:
    schemas = httpx.get(f"{server.url}/openapi.json", timeout=60).json()["components"]["schemas"]
    for name in ("PrunableChatRequest", "PrunableBatchRequest", "PrunableResponsesRequest"):
        field = schemas[name]["properties"]["prune_ratio"]
        assert (field["minimum"], field["exclusiveMaximum"]) == (0, 1)
        budget, method = (schemas[name]["properties"][field] for field in ("visual_token_budget", "prune_method"))
        assert (budget["minimum"], [kind["type"] for kind in budget["anyOf"]]) == (1, ["integer", "null"])
        assert [kind["type"] for kind in method["anyOf"]] == ["string", "null"]


def test_tokenizing_is_not_counted(server: Server) -> None:
    before = server.metrics()
    answer = server.post("/tokenize", {"model": MODEL, "messages": messages([PHOTO])})
    assert answer.json()["count"] > 234
    after = server.metrics()
    assert {name: value for name, value in after.items() if name.startswith("gprune")} == {
        name: value for name, value in before.items() if name.startswith("gprune")
    }
