"""The soak itself: clients that keep asking, a probe now and then, and an eye on the memory."""

import asyncio
import time

import httpx
from tqdm import tqdm

from loadtest.soak.client import Client
from loadtest.soak.gate import Gate
from loadtest.soak.memory import Memory
from loadtest.soak.probe import Probe
from loadtest.soak.request import FAULTS, Outcome, Request
from loadtest.soak.traffic import Traffic
from loadtest.soak.verdict import Record

MOST_DETAILS = 100
PAUSE = 1.0
"""Seconds for which a client waits after a fault, so that a dead server is not asked a million times."""


class Soak:
    """Asks for a time.

    Args:
        client: of the server.
        traffic: what is asked.
        probe: whose answer must not change.
        memory: of the server's processes.
        seconds: for how long.
        concurrency: requests in flight.
    """

    def __init__(
        self, client: Client, traffic: Traffic, probe: Probe, memory: Memory, seconds: float, concurrency: int
    ) -> None:
        self._client, self._traffic, self._probe, self._memory = client, traffic, probe, memory
        self._seconds, self._concurrency = seconds, concurrency
        self._gate = Gate()
        self._record = Record()
        self._began = time.monotonic()

    async def run(self) -> Record:
        """Ask until the time is over, or until Ctrl-C."""
        self._began = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch())
                group.create_task(self._keep_probing())
                for _ in range(self._concurrency):
                    group.create_task(self._keep_asking())
            await self._ask_probe()
        except asyncio.CancelledError:
            self._record.interrupted = True
        self._record.seconds = self._passed()
        self._record.curves = self._memory.curves
        return self._record

    def _passed(self) -> float:
        return time.monotonic() - self._began

    async def _keep_asking(self) -> None:
        while self._passed() < self._seconds:
            request = self._traffic.draw()
            async with self._gate.passage():
                outcome = await self._client.send(request)
            self._count(request, outcome)
            if outcome.ending in FAULTS:
                await asyncio.sleep(PAUSE)

    def _count(self, request: Request, outcome: Outcome) -> None:
        kind = "invalid" if request.invalid else request.kind
        self._record.endings[kind, outcome.ending] += 1
        if outcome.ending in FAULTS and len(self._record.details) < MOST_DETAILS:
            self._record.details.append(
                f"{request.kind}, {outcome.ending} after {self._passed():.0f} s: {outcome.detail}"
            )

    async def _keep_probing(self) -> None:
        """Probe about a hundred times, but no more often than every second."""
        while self._passed() < self._seconds:
            await self._ask_probe()
            await asyncio.sleep(max(1.0, self._seconds / 100))

    async def _ask_probe(self) -> None:
        """Ask the probe with the server to itself: in half precision, what runs beside it may show in the last bits."""
        request = Request("probe", "", b"")
        async with self._gate.closed():
            try:
                drift = await self._probe.ask()
                busy = await self._client.left_behind()
            except httpx.HTTPError as error:
                self._count(request, Outcome("lost", f"{type(error).__name__} {error}"))
                return
        self._record.probes += 1
        if drift:
            self._record.drifts.append(f"after {self._passed():.0f} s: {drift}")
        if busy:
            self._record.left_behind.append(f"after {self._passed():.0f} s: {busy}")

    async def _watch(self) -> None:
        """Sample the memory about a thousand times, and show how it goes."""
        interval = min(5.0, max(0.5, self._seconds / 1000))
        with tqdm(total=round(self._seconds), unit="s", desc="soak") as bar:
            while (passed := self._passed()) < self._seconds:
                self._memory.sample(passed)
                bar.set_postfix(**self._record.totals(), probes=self._record.probes, refresh=False)
                bar.update(int(passed) - bar.n)
                await asyncio.sleep(interval)
            bar.update(bar.total - bar.n)
