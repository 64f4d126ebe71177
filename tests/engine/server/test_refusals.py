"""What cannot be served is refused with an OpenAI-shaped 400 that names the field, and the engine lives on."""

import json
from typing import Any

import httpx
import pytest

from tests.support import photos
from tests.support.questions import ask, messages, same
from tests.support.servers import API_KEY, MODEL, Server

NO_RATIOS = [
    '"0.5"',
    "true",
    "NaN",
    "1",
    "-0.1",
    "1e400",
    "-Infinity",
    "[]",
    "{}",
    "1" + "0" * 400,
    '"' + "x" * 9999 + '"',
]
PHOTO = photos.china()


def refusal(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 400
    assert len(answer.text) < 1000
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return dict(error)


def post_text(server: Server, path: str, fields: str) -> dict[str, Any]:
    """The refusal of a prompt without images that has these fields, written in JSON as they are."""
    text = [{"role": "user", "content": "Hello"}]
    prompt = {"input": "Hello"} if path.endswith("responses") else {"messages": [text] if "batch" in path else text}
    body = json.dumps({"model": MODEL, **prompt})[:-1] + f", {fields}}}"
    headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
    return refusal(httpx.post(f"{server.url}{path}", content=body, headers=headers, timeout=60))


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/chat/completions/batch", "/v1/responses"])
@pytest.mark.parametrize("ratio", NO_RATIOS)
def test_what_is_no_ratio_is_refused(server: Server, path: str, ratio: str) -> None:
    error = post_text(server, path, f'"prune_ratio": {ratio}')
    assert error["param"] == "prune_ratio"
    assert "[0, 1)" in error["message"]


NO_BUDGETS = ("0", "-1", "1.5", "5.0", "true", '"5"', "[]", "NaN", "-1" + "0" * 400)
NO_METHODS = ('"best"', '"fastv"', '""', "1", "[]", "{}", '"' + "x" * 9999 + '"')
NO_PRUNING = [
    *(("visual_token_budget", value) for value in NO_BUDGETS),
    *(("prune_method", value) for value in NO_METHODS),
]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/chat/completions/batch", "/v1/responses"])
@pytest.mark.parametrize(("field", "value"), NO_PRUNING)
def test_what_is_no_budget_or_no_method_is_refused(server: Server, path: str, field: str, value: str) -> None:
    assert post_text(server, path, f'"{field}": {value}')["param"] == field


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/chat/completions/batch", "/v1/responses"])
def test_ratio_and_budget_at_once_are_refused(server: Server, path: str) -> None:
    error = post_text(server, path, '"prune_ratio": 0, "visual_token_budget": 100')
    assert error["param"] == "visual_token_budget"
    assert "prune_ratio" in error["message"]


@pytest.mark.parametrize(
    "kwargs", [{"prune_ratio": 0.5}, {"prune_settings": "x"}, {"prune_method": "tome"}, {"do_resize": False}]
)
def test_clients_cannot_pass_raw_processor_arguments(server: Server, kwargs: dict[str, Any]) -> None:
    body = {"model": MODEL, "messages": messages([PHOTO]), "mm_processor_kwargs": kwargs, "prune_ratio": 0.5}
    assert refusal(server.post("/v1/chat/completions", body))["param"] == "mm_processor_kwargs"
    body = {"model": MODEL, "prompt": "Hello", "mm_processor_kwargs": kwargs}
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
