"""What is too large, too many or from elsewhere is refused by the running server, in the shape clients read."""

import socket
from typing import Any

import httpx
import openai
import pytest
from PIL import Image

from tests.support import photos
from tests.support.questions import ask, messages
from tests.support.servers import API_KEY, MODEL, Server

PHOTO = photos.generated(64, 48)
CHAT = "/v1/chat/completions"


def refusal(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text[:500]
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == status
    return dict(error)


def picture(url: str) -> dict[str, Any]:
    part = {"type": "image_url", "image_url": {"url": url}}
    return {"model": MODEL, "messages": [{"role": "user", "content": [part, {"type": "text", "text": "What?"}]}]}


@pytest.mark.parametrize("key", [None, "wrong"])
def test_without_its_key_the_server_answers_what_clients_read(server: Server, key: str | None) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answer = httpx.post(f"{server.url}{CHAT}", json=picture("data:"), headers=headers, timeout=60)
    assert "API key" in refusal(answer, 401)["message"]
    with (
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError, match="API key"),
    ):
        client.models.list()


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/responses", "/tokenize"])
def test_a_large_body_is_refused(server: Server, path: str) -> None:
    answer = server.post(path, {"model": MODEL, "prompt": "x" * (64 * 1024 * 1024)})
    assert "--max-request-bytes" in refusal(answer, 413)["message"]


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/picture.png",
        "https://169.254.169.254/latest/meta-data",
        "HTTP://[::1]/",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
        "data:image/svg+xml,<svg/>",
        photos.data_url(PHOTO, "BMP"),
        photos.data_url(Image.new("L", (2, 2001))),
    ],
)
def test_what_is_no_picture_is_refused(server: Server, url: str) -> None:
    assert refusal(server.post(CHAT, picture(url)), 400)["param"] == "body.messages.0.content.0.image_url.url"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (CHAT, {"messages": messages([]), "n": 129}, "n"),
        (CHAT, {"messages": messages([]), "n": 5000}, "n"),  # more than vLLM takes at once: it would say 503
        ("/v1/completions", {"prompt": ["a"] * 129}, "prompt"),
        ("/v1/completions", {"prompt": ["a"] * 13, "n": 10}, "n"),
        ("/v1/chat/completions/batch", {"messages": [messages([])] * 129}, "messages"),
    ],
)
def test_too_many_sequences_are_refused(server: Server, path: str, body: dict[str, Any], field: str) -> None:
    error = refusal(server.post(path, {"model": MODEL, **body}), 400)
    assert error["param"] == field
    assert "--max-request-sequences" in error["message"]


def test_too_many_images_are_refused(server: Server) -> None:
    answer = server.post(
        CHAT, {"model": MODEL, "messages": messages([photos.generated(16, 16)] * 17), "prune_ratio": 0.9}
    )
    assert "At most 16 image" in refusal(answer, 400)["message"]


def test_stock_servers_with_the_plugin_are_guarded(guarded_server: Server) -> None:
    server = guarded_server
    assert "--allowed-media" in refusal(server.post(CHAT, picture("http://localhost/picture.png")), 400)["message"]
    large = picture(photos.data_url(photos.generated(100, 51)))
    assert "--max-image-pixels" in refusal(server.post(CHAT, large), 400)["message"]
    refusal(server.post(CHAT, picture("x" * 100_000)), 413)
    many = server.post(CHAT, {"model": MODEL, "messages": messages([photos.generated(16, 16)] * 17)})
    assert "At most 16 image" in refusal(many, 400)["message"]
    assert ask(server, [PHOTO], 0.5)


def begin_request(server: Server) -> socket.socket:
    """A request under way for as long as the connection is open: the rest of its body never comes."""
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    head = f"POST {CHAT} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {API_KEY}\r\n"
    connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{".encode())
    return connection


def test_an_overloaded_server_says_when_to_come_again(guarded_server: Server) -> None:
    with begin_request(guarded_server), begin_request(guarded_server):
        assert httpx.get(f"{guarded_server.url}/health", timeout=30).status_code == 200
        for more in ({}, {"stream": True}):
            answer = guarded_server.post(CHAT, picture(photos.data_url(PHOTO)) | more)
            assert "--max-num-queued-reqs" in refusal(answer, 503)["message"]
            assert int(answer.headers["Retry-After"]) > 0
    rejected = "vllm:admission_rejections_total"
    assert sum(value for name, value in guarded_server.metrics().items() if name.startswith(rejected)) == 2
    with guarded_server.client.with_options(max_retries=5) as patient:
        assert patient.chat.completions.create(model=MODEL, messages=messages([PHOTO]), max_tokens=4).choices
