"""Clients that leave, whenever they do, leave nothing behind: no request, no cache in use, no memory."""

import json
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import psutil
import pytest

from tests.support import photos
from tests.support.photos import data_url
from tests.support.questions import ask
from tests.support.servers import API_KEY, MODEL, Server
from tests.support.waiting import wait_until

WARM_UP = 48  # clients that leave before memory is measured
AT_ONCE = 8
MEBIBYTE = 1024 * 1024
GROWTH = 64 * MEBIBYTE  # of all processes together
HANG = 300  # seconds after which something hangs; no measure of speed
PICTURES = [data_url(photos.generated(640, 480, seed), "JPEG") for seed in range(8)]
PHASES = ("upload", "decoding", "prefill", "stream")
RESET = struct.pack("ii", 1, 0)  # closes with RST in place of FIN


@dataclass(frozen=True)
class Footprint:
    """What a server's processes hold: bytes of memory that is theirs alone, and open files."""

    memory: int
    files: int

    @classmethod
    def of(cls, server: Server) -> "Footprint":
        parent = psutil.Process(server.process.pid)
        processes = [parent, *parent.children(recursive=True)]
        return cls(sum(each.memory_full_info().uss for each in processes), sum(each.num_fds() for each in processes))


def long_prompt(number: int) -> bytes:
    """A streamed request of four large images and every visual token, of which no other shares cached blocks."""
    pictures = [PICTURES[(number + each) % len(PICTURES)] for each in range(4)]
    content: list[Any] = [{"type": "image_url", "image_url": {"url": picture}} for picture in pictures]
    asked = {"prune_ratio": 0, "max_tokens": 700, "ignore_eos": True, "stream": True, "cache_salt": f"{number}"}
    return json.dumps({"model": MODEL, "messages": [{"role": "user", "content": content}], **asked}).encode()


def leave(server: Server, number: int, phase: str) -> None:
    """Ask, and leave before the answer is complete: every other client by FIN, the rest by RST."""
    body = long_prompt(number)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    headers |= {"Authorization": f"Bearer {API_KEY}"}
    with closing(HTTPConnection(server.url.removeprefix("http://"), timeout=HANG)) as connection:
        connection.request("POST", "/v1/chat/completions", headers=headers)
        if number // len(PHASES) % 2:
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        if phase == "upload":
            connection.send(body[: len(body) // 2])
            return
        connection.send(body)
        if phase == "decoding":
            return
        with connection.getresponse() as response:  # its head comes once images are decoded
            assert response.status == 200
            time.sleep(number % 7 / 100)
            for _ in range(5 if phase == "stream" else 0):
                assert response.readline()


def leave_all(server: Server, numbers: range) -> None:
    """Clients that leave, several at once, in turns at each phase."""
    with ThreadPoolExecutor(AT_ONCE) as clients:
        leavers = [clients.submit(leave, server, number, PHASES[number % len(PHASES)]) for number in numbers]
        for leaver in leavers:
            leaver.result()


def wait_until_idle(server: Server) -> None:
    wait_until(lambda: not any(server.total(f"vllm:num_requests_{state}") for state in ("running", "waiting")), HANG)


def test_clients_that_leave_leave_nothing_behind(small_caches_server: Server, request: pytest.FixtureRequest) -> None:
    server, leaving = small_caches_server, request.config.getoption("disconnects")
    probes = [([photos.china()], 0.5), ([photos.flower(), photos.grace_hopper()], 0)]
    leave_all(server, range(WARM_UP))
    wait_until_idle(server)
    before = [ask(server, *probe, cache_salt="before") for probe in probes]
    answered = server.total("gprune_e2e_request_latency_seconds_count")
    begun = server.total("gprune_requests_total")
    footprint = Footprint.of(server)

    leave_all(server, range(WARM_UP, WARM_UP + leaving))

    wait_until_idle(server)
    assert server.total("vllm:kv_cache_usage_perc") == 0
    assert server.total("gprune_e2e_request_latency_seconds_count") == answered
    reached = server.total("gprune_requests_total") - begun
    assert leaving / 2 <= reached <= leaving * 3 / 4
    assert [ask(server, *probe, cache_salt="after") for probe in probes] == before

    after = Footprint.of(server)
    grown, opened = after.memory - footprint.memory, after.files - footprint.files
    print(f"\n{leaving} clients left, {reached:.0f} of them reached the engine")
    print(
        f"memory {footprint.memory / MEBIBYTE:.0f} MiB, {grown / MEBIBYTE:+.1f}; files {footprint.files}, {opened:+d}"
    )
    assert grown < GROWTH
    assert opened < AT_ONCE
