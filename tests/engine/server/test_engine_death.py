"""A server whose engine is killed says so, hangs no client, leaves no process behind, and exits with an error."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest

from tests.support import photos, pool
from tests.support.questions import messages
from tests.support.servers import MODEL, Server, children
from tests.support.waiting import HANG, wait_until


def request(images: int, max_tokens: int) -> dict[str, Any]:
    asked = {"max_tokens": max_tokens, "ignore_eos": True, "stream": True, "prune_ratio": 0}
    return {"model": MODEL, "messages": messages([photos.china()] * images), **asked}


def follow(server: Server, body: dict[str, Any], lines: list[str]) -> None:
    """Collect a stream's status and lines until it breaks.

    It asks anew for each answer that comes whole: if a client lags, the engine may have finished before it is killed.
    """
    while not any("error" in line for line in lines):
        lines.clear()
        try:
            with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body, timeout=HANG) as response:
                lines.append(str(response.status_code))
                lines.extend(filter(None, response.iter_lines()))
        except (httpx.RemoteProtocolError, httpx.ReadError) as broken:
            lines.append(f"error: {broken}")


def is_unready(server: Server) -> bool:
    try:
        return httpx.get(f"{server.url}/health", timeout=HANG).status_code == 503
    except httpx.TransportError:
        return True


def begins(process: psutil.Process, streamed: list[str]) -> bool:
    """Let a process work for a moment, suspend it, and return whether an answer has begun to arrive.

    The API server and the client, where they lag, have the time in between to catch up. Otherwise the engine may have
    finished the answer before its first tokens arrive.
    """
    process.resume()
    time.sleep(0.02)
    process.suspend()
    time.sleep(0.2)
    return len(streamed) > 8


VICTIMS = [
    pytest.param("VLLM::EngineCore", marks=pytest.mark.ends(pool.LIMITED)),
    pytest.param("VLLM::Worker_TP1", marks=pytest.mark.ends(pool.TENSOR)),
]


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_killed_engine_ends_the_server(doomed_server: Server, victim: str) -> None:
    long_answer, long_prompt = request(1, 1700), request(8, 100)
    streamed: list[str] = []
    prefilled: list[str] = []
    server = doomed_server
    processes = psutil.Process(server.process.pid).children(recursive=True)
    (process,) = children(server, victim)
    with ThreadPoolExecutor() as clients:
        answers = [clients.submit(follow, server, long_answer, streamed)]
        wait_until(lambda: begins(process, streamed))
        answers.append(clients.submit(follow, server, long_prompt, prefilled))
        wait_until(lambda: prefilled)

        process.kill()
        wait_until(lambda: is_unready(server))
        for answer in answers:
            answer.result(HANG)
        assert server.process.wait(HANG) == 1
        assert not psutil.wait_procs(processes, HANG)[1]
    for lines in (streamed, prefilled):
        assert lines[0] == "200"
        assert any("error" in line for line in lines), lines[-2:]
        assert not any('"finish_reason":"' in line for line in lines)
