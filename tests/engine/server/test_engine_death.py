"""A server whose engine is killed says so, hangs no client, leaves no process behind, and exits with an error."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support import photos
from tests.support.questions import messages
from tests.support.servers import MODEL, Server, serve

HANG = 120  # seconds after which something hangs; no measure of speed
STEPS = ("--max-num-batched-tokens", "256")  # a prompt of eight images is prefilled in eight steps


def request(images: int, max_tokens: int) -> dict[str, Any]:
    asked = {"max_tokens": max_tokens, "ignore_eos": True, "stream": True, "prune_ratio": 0}
    return {"model": MODEL, "messages": messages([photos.china()] * images), **asked}


def follow(server: Server, body: dict[str, Any], lines: list[str]) -> None:
    """Collect a stream's status and lines until it ends or breaks."""
    try:
        with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body, timeout=HANG) as response:
            lines.append(str(response.status_code))
            lines.extend(filter(None, response.iter_lines()))
    except (httpx.RemoteProtocolError, httpx.ReadError) as broken:
        lines.append(f"error: {broken}")


def wait_until(what: Callable[[], object]) -> float:
    """Seconds until it is so."""
    begin = time.monotonic()
    while not what():
        assert time.monotonic() - begin < HANG
        time.sleep(0.005)
    return time.monotonic() - begin


def is_unready(server: Server) -> bool:
    try:
        return httpx.get(f"{server.url}/health", timeout=HANG).status_code == 503
    except httpx.TransportError:
        return True


@pytest.mark.parametrize("victim", ["VLLM::EngineCore", "VLLM::Worker"])
def test_a_killed_engine_ends_the_server(checkpoint: Path, tmp_path: Path, victim: str) -> None:
    long_answer, long_prompt = request(1, 1700), request(8, 100)
    streamed: list[str] = []
    prefilled: list[str] = []
    with serve(checkpoint, tmp_path / "server.log", *STEPS) as server, ThreadPoolExecutor() as clients:
        processes = psutil.Process(server.process.pid).children(recursive=True)
        (process,) = [process for process in processes if process.name() == victim]
        answers = [clients.submit(follow, server, long_answer, streamed)]
        wait_until(lambda: len(streamed) > 8)
        process.suspend()  # or the answer ends, on a fast machine, before the other request is accepted
        answers.append(clients.submit(follow, server, long_prompt, prefilled))
        wait_until(lambda: prefilled)

        process.kill()
        told = wait_until(lambda: is_unready(server))
        for answer in answers:
            answer.result(HANG)
        code = server.process.wait(HANG)
        print(f"\n{victim} killed: unready after {told:.2f} s; the process ended with {code}")
        assert code == 1
        assert not psutil.wait_procs(processes, HANG)[1]
    for lines in (streamed, prefilled):
        assert lines[0] == "200"
        assert any("error" in line for line in lines), lines[-2:]
        assert not any('"finish_reason":"' in line for line in lines)
