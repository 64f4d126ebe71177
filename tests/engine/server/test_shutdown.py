"""At SIGTERM a server is no longer ready, answers all that it has taken, within the grace period, and exits with 0."""

import json
import signal
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.support import photos
from tests.support.questions import messages
from tests.support.servers import MODEL, Server, serve

CHAT = "/v1/chat/completions"
SMALL = photos.generated(64, 48)
HANG = 120  # seconds after which something hangs; no measure of speed


def body(images: int, max_tokens: int, **fields: Any) -> dict[str, Any]:
    asked = {"max_tokens": max_tokens, "ignore_eos": True, "stream_options": {"include_usage": True}} | fields
    if not asked.get("stream"):
        del asked["stream_options"]
    return {"model": MODEL, "messages": messages([SMALL] * images), **asked}


def events(response: httpx.Response) -> list[dict[str, Any]]:
    """What is left of a stream that ends as it should."""
    *data, end = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    assert end == "[DONE]"
    return [json.loads(each) for each in data]


def announce(server: Server, content: bytes) -> HTTPConnection:
    """A request of which the server has read the head and waits for the body."""
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=HANG)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(content)), "Expect": "100-continue"}
    connection.request("POST", CHAT, headers=headers)
    assert b" 100 " in connection.sock.recv(1024)
    return connection


def wait_until_unready(server: Server) -> None:
    told = time.monotonic()
    while httpx.get(f"{server.url}/health", timeout=HANG).status_code == 200:
        assert time.monotonic() - told < HANG
        time.sleep(0.01)
    print(f"\nunready {time.monotonic() - told:.3f} s after SIGTERM")


def test_all_that_was_taken_is_answered(checkpoint: Path, tmp_path: Path) -> None:
    content = json.dumps(body(images=4, max_tokens=3)).encode()
    streaming = body(images=1, max_tokens=1200, stream=True)
    with serve(checkpoint, tmp_path / "server.log", "--shutdown-timeout", "600") as server:
        processes = psutil.Process(server.process.pid).children(recursive=True)
        with (
            closing(announce(server, content)) as announced,
            httpx.stream("POST", f"{server.url}{CHAT}", json=streaming, timeout=HANG) as stream,
        ):
            for _ in range(2):
                server.process.send_signal(signal.SIGTERM)
            wait_until_unready(server)
            refused = server.post(CHAT, body(images=1, max_tokens=1))
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) > 0
            assert refused.json()["error"]["code"] == 503
            assert server.metrics()

            announced.send(content)
            with announced.getresponse() as response:
                assert response.status == 200
                assert json.load(response)["usage"]["completion_tokens"] == 3
            *_, last, usage = events(stream)
        assert last["choices"][0]["finish_reason"] == "length"
        assert usage["usage"]["completion_tokens"] == 1200
        assert server.process.wait(HANG) == 0
        assert not psutil.wait_procs(processes, HANG)[1]


def test_what_takes_longer_than_the_grace_period_is_told_so(checkpoint: Path, tmp_path: Path) -> None:
    """The process ends even where a client reads nothing."""
    read = body(images=1, max_tokens=1800, stream=True)
    unread = read | {"n": 8, "logprobs": True, "top_logprobs": 20}
    with (
        serve(checkpoint, tmp_path / "server.log", "--shutdown-timeout", "1") as server,
        httpx.stream("POST", f"{server.url}{CHAT}", json=unread, timeout=HANG),
        httpx.stream("POST", f"{server.url}{CHAT}", json=read, timeout=HANG) as stream,
    ):
        server.process.send_signal(signal.SIGTERM)
        *_, last = events(stream)
        assert last["error"]["code"] == 503
        assert server.process.wait(HANG) == 0
