"""At SIGTERM a server is no longer ready, answers all that it has taken, within the grace period, and exits with 0."""

import json
import signal
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import httpx
import psutil
import pytest

from tests.support import photos, pool
from tests.support.questions import messages
from tests.support.servers import API_KEY, MODEL, Server
from tests.support.waiting import HANG, wait_until

CHAT = "/v1/chat/completions"
SMALL = photos.generated(64, 48)
AUTHORIZATION = {"Authorization": f"Bearer {API_KEY}"}


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
    connection.request("POST", CHAT, headers=headers | AUTHORIZATION)
    assert b" 100 " in connection.sock.recv(1024)
    return connection


def stream_of(server: Server, content: dict[str, Any]) -> Any:
    """The response to a streamed request, as a context."""
    return httpx.stream("POST", f"{server.url}{CHAT}", json=content, headers=AUTHORIZATION, timeout=HANG)


@pytest.mark.ends(pool.GUARDED)
def test_all_that_was_taken_is_answered(doomed_server: Server) -> None:
    server = doomed_server
    content = json.dumps(body(images=4, max_tokens=3)).encode()
    processes = psutil.Process(server.process.pid).children(recursive=True)
    with (
        closing(announce(server, content)) as announced,
        stream_of(server, body(images=1, max_tokens=1200, stream=True)) as stream,
    ):
        for _ in range(2):
            server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: httpx.get(f"{server.url}/health", timeout=HANG).status_code != 200)
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
    assert "EngineDeadError" not in server.log.read_text()
    assert not psutil.wait_procs(processes, HANG)[1]


@pytest.mark.ends(pool.SMALL)
def test_what_takes_longer_than_the_grace_period_is_told_so(doomed_server: Server) -> None:
    """The process ends even where a client reads nothing."""
    read = body(images=1, max_tokens=1800, stream=True)
    unread = read | {"n": 6, "logprobs": True, "top_logprobs": 20}
    with stream_of(doomed_server, unread), stream_of(doomed_server, read) as stream:
        doomed_server.process.send_signal(signal.SIGTERM)
        *_, last = events(stream)
        assert last["error"]["code"] == 503
        assert doomed_server.process.wait(HANG) == 0
    log = doomed_server.log.read_text()
    assert not [alarm for alarm in ("EngineDeadError", "leaked") if alarm in log]
