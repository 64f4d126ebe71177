"""Requests that vLLM alone answers with a 5xx, or dies of, get a 400 that says why."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support import photos
from tests.support.questions import ask, messages
from tests.support.servers import API_KEY, MODEL, Server

CHAT, BATCH, RESPONSES = "/v1/chat/completions", "/v1/chat/completions/batch", "/v1/responses"
PHOTO = photos.generated(64, 48)
TEXT = [{"role": "user", "content": "Hi"}]
NESTED = "[" * 5000 + "]" * 5000
CALLED = [{"id": "a", "type": "function", "function": {"name": "a", "arguments": NESTED}}]
NO_TEXT = "\ud800"


def refusal(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 400, answer.text[:500]
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return dict(error)


def post(server: Server, path: str, body: bytes | str) -> httpx.Response:
    """Send a body as it is written: halves of surrogate pairs are escaped in it."""
    headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
    return httpx.post(f"{server.url}{path}", content=body, headers=headers, timeout=60)


@pytest.mark.parametrize(
    ("field", "value", "told", "stream"),
    [
        ("stop", NO_TEXT, "not valid Unicode", False),
        ("bad_words", [NO_TEXT], "not valid Unicode", True),
        ("request_id", NO_TEXT, "not valid Unicode", False),
        ("vllm_xargs", {NO_TEXT: 1}, "not valid Unicode", True),
        ("top_k", 2**70, "64 bits", False),
        ("repetition_detection", {"max_pattern_size": 2**70, "min_count": 2}, "64 bits", True),
    ],
)
def test_what_cannot_be_sent_to_the_engine(server: Server, field: str, value: Any, told: str, stream: bool) -> None:
    body = {"model": MODEL, "messages": TEXT, "max_tokens": 1, "stream": stream, field: value}
    assert told in refusal(post(server, CHAT, json.dumps(body)))["message"]


@pytest.mark.parametrize("name", ["a", NO_TEXT])
def test_images_of_one_name_are_not_taken_for_one_another(server: Server, name: str) -> None:
    asked = {"max_tokens": 8, "prune_ratio": 0.5, "temperature": 0, "ignore_eos": True, "return_token_ids": True}
    for image in (photos.china(), photos.flower(), PHOTO):
        (turn,) = messages([image])
        turn["content"][0]["uuid"] = name
        answer = post(server, CHAT, json.dumps({"model": MODEL, "messages": [turn], **asked})).json()
        expected = ask(server, [image], 0.5, max_tokens=8)
        assert tuple(answer["choices"][0]["token_ids"]) == expected.token_ids
        assert answer["usage"]["visual_tokens"] == expected.visual_tokens


def test_images_without_data_are_refused(server: Server) -> None:
    (turn,) = messages([PHOTO])
    turn["content"][0] = {"type": "image_url", "image_url": None, "uuid": "a"}
    answer = server.post(CHAT, {"model": MODEL, "messages": [turn], "max_tokens": 1})
    assert refusal(answer)["param"] == "uuid"


@pytest.mark.parametrize("stream", [False, True])
def test_output_that_the_model_cannot_write(server: Server, stream: bool) -> None:
    (token_id,) = server.post("/tokenize", {"model": MODEL, "prompt": "b", "add_special_tokens": False}).json()[
        "tokens"
    ]
    body = {"model": MODEL, "messages": TEXT, "max_tokens": 4, "stream": stream}
    body |= {"structured_outputs": {"regex": "a"}, "allowed_token_ids": [token_id]}
    answer = server.post(CHAT, body)
    error = json.loads(answer.text.partition("data: ")[2].partition("\n")[0])["error"] if stream else refusal(answer)
    assert (error["code"], error["param"]) == (400, "structured_outputs")


@pytest.mark.parametrize("path", [CHAT, BATCH, RESPONSES, "/v1/completions", "/v1/messages"])
def test_seeds_that_a_cpu_engine_would_die_of(server: Server, path: str) -> None:
    prompt = {"input": "Hi"} if path == RESPONSES else {"prompt": "Hi"} if path == "/v1/completions" else {}
    body = {"model": MODEL, "messages": [TEXT] if path == BATCH else TEXT, "seed": 1, **prompt}
    body |= {"max_output_tokens" if path == RESPONSES else "max_tokens": 1}
    answer = server.post(path, body)
    if path == "/v1/messages":  # it has no such field
        assert answer.status_code == 200
    else:
        assert refusal(answer)["param"] == "seed"
        assert server.post(path, body | {"temperature": 0}).status_code == 200


@pytest.mark.parametrize("path", [CHAT, BATCH, "/tokenize"])
def test_json_within_json_that_is_nested_too_deeply(server: Server, path: str) -> None:
    turns = [{"role": "assistant", "content": "a", "tool_calls": CALLED}]
    body = {"model": MODEL, "messages": [turns] if path == BATCH else turns}
    assert "nested" in refusal(server.post(path, body))["message"]


@pytest.mark.parametrize("path", [CHAT, "/tokenize"])
@pytest.mark.parametrize("part", [{"type": "input_audio", "input_audio": True}, {"type": "image_pil", "image_pil": 1}])
def test_parts_that_are_not_what_their_type_says(server: Server, path: str, part: dict[str, Any]) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, part]}]}
    assert refusal(server.post(path, body))["param"] == "messages"


@pytest.mark.parametrize("path", [CHAT, BATCH, RESPONSES, "/v1/completions"])
def test_fields_that_validators_take_for_objects(server: Server, path: str) -> None:
    prompt = {"input": "Hi"} if path == RESPONSES else {"prompt": "Hi"} if path == "/v1/completions" else {}
    turns = {} if prompt else {"messages": [TEXT] if path == BATCH else TEXT}
    for wrong in (False, [], 3):
        refusal(server.post(path, {"model": MODEL, **prompt, **turns, "max_tokens": 1, "structured_outputs": wrong}))


@pytest.mark.parametrize("length", [0, 1, 3])
def test_truncation_that_cuts_off_an_image(server: Server, length: int) -> None:
    body = {"model": MODEL, "messages": messages([PHOTO]), "max_tokens": 1, "truncate_prompt_tokens": length}
    assert refusal(server.post(CHAT, body))["param"] == "truncate_prompt_tokens"
    assert ask(server, [PHOTO], max_tokens=1, truncate_prompt_tokens=200)


@pytest.mark.parametrize("body", [b"\xff", NESTED])
def test_bodies_that_cannot_be_parsed(server: Server, body: bytes | str) -> None:
    refusal(post(server, CHAT, body))


@pytest.mark.parametrize(("method", "path", "status"), [("GET", CHAT, 405), ("POST", "/v1/nothing", 404)])
def test_routes_that_are_not_there(server: Server, method: str, path: str, status: int) -> None:
    answer = httpx.request(method, f"{server.url}{path}", headers={"Authorization": f"Bearer {API_KEY}"}, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, status)


@pytest.mark.parametrize("wrong", [{"top_k": -5}, {"logit_bias": {"99999": 1}}, {"max_tokens": 0}, {"seed": 1}])
def test_an_image_is_answered_although_its_first_request_was_refused(server: Server, wrong: dict[str, Any]) -> None:
    image = photos.generated(50, 40, seed=len(str(wrong)))
    refusal(server.post(CHAT, {"model": MODEL, "messages": messages([image]), "max_tokens": 1, **wrong}))
    assert ask(server, [image], max_tokens=1)


def test_an_image_is_answered_although_its_request_overtakes_another(server: Server) -> None:
    def post_either(number: int) -> int:
        turns = messages([photos.generated(60, 40, seed=number // 8)])
        path, prompts = (BATCH, [turns] * 3) if number % 2 else (CHAT, turns)
        return server.post(path, {"model": MODEL, "messages": prompts, "max_tokens": 1}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(post_either, range(48))) == {200}
