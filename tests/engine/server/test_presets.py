"""A model's name or a header asks for pruning, wherever images can be sent; the body wins."""

from typing import Any

import pytest

from tests.support import pool
from tests.support.photos import data_url, generated
from tests.support.questions import ask, messages
from tests.support.servers import API_KEY, MODEL, Server

PHOTO = generated(120, 90, 5)
CHAT = "/v1/chat/completions"


def send(server: Server, path: str, body: dict[str, Any], **headers: str) -> Any:
    return server.http.post(path, json=body, headers={"Authorization": f"Bearer {API_KEY}", **headers})


def chat(model: str = MODEL, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": messages([PHOTO]), "max_tokens": 1, **fields}


def pruning(response: Any) -> tuple[float, str]:
    visual = response.json()["usage"]["visual_tokens"]
    return visual["prune_ratio"], visual["method"]


def test_presets_are_listed(limited_server: Server) -> None:
    listed = [model.id for model in limited_server.client.models.list()]
    assert listed == [MODEL, "tiny-fast", "tiny-whole", pool.ADAPTER, "tiny-adapted"]
    assert limited_server.client.models.retrieve("tiny-fast").id == "tiny-fast"


@pytest.mark.parametrize(
    ("model", "fields", "expected"),
    [
        ("tiny-fast", {}, (0.7, "tome")),
        ("tiny-fast", {"prune_ratio": 0.2}, (0.2, "tome")),
        ("tiny-fast", {"prune_method": "random"}, (0.7, "random")),
        ("tiny-whole", {}, (0, "random")),
        ("tiny-adapted", {}, (0.7, "random")),
        ("tiny-adapted", {"prune_ratio": 0.2}, (0.2, "random")),
        (MODEL, {}, (0.5, "random")),
    ],
)
def test_a_preset_gives_what_the_body_leaves_out(
    limited_server: Server, model: str, fields: dict[str, Any], expected: tuple[float, str]
) -> None:
    assert pruning(send(limited_server, CHAT, chat(model, **fields))) == expected


def test_a_preset_answers_as_its_fields_do(limited_server: Server) -> None:
    assert ask(limited_server, [PHOTO], model="tiny-fast") == ask(limited_server, [PHOTO], 0.7, prune_method="tome")


def test_a_preset_of_an_adapter_answers_as_the_adapter_does(limited_server: Server) -> None:
    adapted = ask(limited_server, [PHOTO], model="tiny-adapted")
    assert adapted == ask(limited_server, [PHOTO], 0.7, model=pool.ADAPTER)
    assert adapted.token_ids != ask(limited_server, [PHOTO], 0.7).token_ids


def test_anthropics_clients_are_pruned_by_a_presets_name(limited_server: Server) -> None:
    data = data_url(PHOTO).partition(",")[2]
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    turns = [{"role": "user", "content": [picture, {"type": "text", "text": "What do you see?"}]}]
    tokens = [
        send(limited_server, "/v1/messages", {"model": model, "max_tokens": 1, "messages": turns}).json()["usage"]
        for model in ("tiny-whole", "tiny-fast")
    ]
    assert tokens[0]["input_tokens"] > tokens[1]["input_tokens"]


@pytest.mark.parametrize(
    ("fields", "headers", "expected"),
    [
        ({}, {"X-Prune-Ratio": "0.2"}, (0.2, "random")),
        ({}, {"X-Prune-Method": "tome"}, (0.5, "tome")),
        ({"prune_ratio": 0.3}, {"X-Prune-Ratio": "0.2"}, (0.3, "random")),
        ({"model": "tiny-fast"}, {"X-Prune-Ratio": "0.2"}, (0.2, "tome")),
    ],
)
def test_a_header_gives_what_the_body_leaves_out(
    limited_server: Server, fields: dict[str, Any], headers: dict[str, str], expected: tuple[float, str]
) -> None:
    assert pruning(send(limited_server, CHAT, chat(**fields), **headers)) == expected


@pytest.mark.parametrize("value", ["7", "x", "nan", "0.9", ""])
def test_an_invalid_header_is_refused_by_its_field(limited_server: Server, value: str) -> None:
    response = send(limited_server, CHAT, chat(), **{"X-Prune-Ratio": value})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "prune_ratio"


@pytest.mark.parametrize("header", ["X-Prune-Ratio", "X-Visual-Token-Budget", "X-Prune-Method", "Content-Type"])
def test_a_browser_lets_a_page_send_the_headers(limited_server: Server, header: str) -> None:
    """What a browser asks before it sends them: a preflight request."""
    asked = {"Origin": pool.PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": header}
    answer = limited_server.http.options(CHAT, headers=asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Access-Control-Allow-Origin"] == pool.PAGE
    assert header.lower() in answer.headers["Access-Control-Allow-Headers"].lower()


def test_a_browser_keeps_other_headers_and_other_pages_out(limited_server: Server) -> None:
    asked = {"Origin": pool.PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "X-Other"}
    assert limited_server.http.options(CHAT, headers=asked).status_code == 400
    elsewhere = asked | {"Origin": "https://other.example", "Access-Control-Request-Headers": "X-Prune-Ratio"}
    assert "Access-Control-Allow-Origin" not in limited_server.http.options(CHAT, headers=elsewhere).headers
