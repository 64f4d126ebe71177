"""A soak: rounds of mixed traffic, and between them a question whose answer must never change."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil

from tests.nightly.server.endings import Ending, ending_of
from tests.nightly.server.memory import Memory
from tests.nightly.server.traffic import Request, Traffic
from tests.support import photos
from tests.support.questions import Answer, ask
from tests.support.servers import API_KEY, Server
from tests.support.waiting import wait_until

CLIENTS = 8
ROUNDS = (8, 100)
"""At least and at most so many, of five seconds or more each if they can be: a probe must not take most of the time."""
HANG = 300
"""Seconds without a byte after which an answer is lost. No measure of speed."""
BUSY = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")
"""Metrics that are zero while nothing is asked."""
MOST_FAULTS = 20
"""Faults after which the rest of the soak tells nothing new."""


@dataclass
class Soak:
    """A server under traffic.

    Attributes:
        server: the server, which runs on this machine.
        seconds: for how long.
        endings: how many requests of a kind ended how.
        faults: all that went wrong, in words.
    """

    server: Server
    seconds: float
    traffic: Traffic = field(default_factory=lambda: Traffic(seed=0))
    endings: Counter[tuple[str, Ending]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.memory = Memory(psutil.Process(self.server.process.pid))
        self._first: dict[int, Answer] = {}

    async def run(self) -> None:
        """Let clients ask in rounds until the time is over; after each, probe the server and look at its memory."""
        begin = time.monotonic()
        least, most = ROUNDS
        rounds = max(least, min(most, round(self.seconds / 5)))
        for number in range(rounds):
            await self._round(begin + self.seconds * (number + 1) / rounds)
            self._probe(number)
            self.memory.sample()
            if len(self.faults) > MOST_FAULTS:
                break
        self.faults += self.memory.faults()

    async def _round(self, deadline: float) -> None:
        headers = {"Authorization": f"Bearer {API_KEY}"}
        async with (
            httpx.AsyncClient(base_url=self.server.url, headers=headers, timeout=HANG) as client,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(CLIENTS):
                group.create_task(self._keep_asking(client, deadline))

    async def _keep_asking(self, client: httpx.AsyncClient, deadline: float) -> None:
        while True:
            request = self.traffic.draw()
            ending, told = await send(client, request)
            self.endings[request.kind, ending] += 1
            if told:
                self.faults.append(f"{request.kind} request: {told}")
            if time.monotonic() >= deadline or len(self.faults) > MOST_FAULTS:
                return

    def _probe(self, number: int) -> None:
        """Ask a question with the server to itself, every other time without what is cached.

        A prompt computed in part may differ in the last bits from one computed whole: the answer is held against the
        first for which as much was cached.

        Raises:
            AssertionError: the server stays busy although nothing is asked.
        """
        salt: dict[str, Any] = {"cache_salt": f"probe {number}"} if number % 2 else {}
        answer = ask(self.server, [photos.china()], 0.5, **salt)
        if answer != self._first.setdefault(answer.cached_tokens, answer):
            self.faults.append(f"round {number}: {answer} in place of {self._first[answer.cached_tokens]}")
        wait_until(lambda: not any(self.server.total(name) for name in BUSY))


async def send(client: httpx.AsyncClient, request: Request) -> tuple[Ending, str]:
    """Send a request, wait as long as its client would, and judge what came."""
    headers = {"Content-Type": request.case.content_type}
    try:
        async with asyncio.timeout(request.patience):
            answer = await client.post(request.case.path, content=request.case.body, headers=headers)
    except TimeoutError:
        return "left", ""
    except httpx.HTTPError as error:
        return "fault", f"{type(error).__name__} {error}"
    return ending_of(request, answer)
