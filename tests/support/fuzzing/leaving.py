"""Clients that leave before their answer is complete: at any time, and however a connection may end."""

import json
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache
from http.client import HTTPConnection
from typing import Any

from tests.support.photos import data_url, generated
from tests.support.servers import API_KEY, MODEL, Server
from tests.support.waiting import wait_until

AT_ONCE = 8
HANG = 300  # seconds after which something hangs; no measure of speed
PHASES = ("upload", "decoding", "prefill", "stream")
RESET = struct.pack("ii", 1, 0)  # closes with RST in place of FIN


@cache
def picture(seed: int) -> str:
    """One of the pictures that are asked about."""
    return data_url(generated(640, 480, seed), "JPEG")


def long_prompt(number: int) -> bytes:
    """A streamed request of four large images and every visual token, of which no other shares cached blocks."""
    pictures = [picture((number + each) % 8) for each in range(4)]
    content: list[Any] = [{"type": "image_url", "image_url": {"url": url}} for url in pictures]
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
            assert response.status == 200, response.read(2000)
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
    """Return when the engine has no request."""
    wait_until(lambda: not any(server.total(f"vllm:num_requests_{state}") for state in ("running", "waiting")), HANG)
