"""Asks for `/health` again and again, whatever else a server does meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context

import httpx

PAUSE = 0.02  # seconds between an answer and the next question
SPAWN = get_context("spawn")  # a process of its own: one that makes large bodies would measure itself


class Health:
    """The slowest answer so far.

    Attributes:
        slowest: seconds until it came.
    """

    def __init__(self) -> None:
        self._slowest = SPAWN.Value("d")

    @property
    def slowest(self) -> float:
        return float(self._slowest.value)

    @contextmanager
    def watched(self, url: str) -> Iterator[None]:
        """Ask the server at this address for as long as the context is open."""
        ended = SPAWN.Event()
        process = SPAWN.Process(target=ask, args=(f"{url}/health", self._slowest, ended))
        process.start()
        try:
            yield
        finally:
            ended.set()
            process.join()


def ask(url, slowest, ended) -> None:  # type: ignore[no-untyped-def]
    """Ask until the event `ended` is set, and record the seconds of the slowest answer in the value `slowest`."""
    with httpx.Client(timeout=300) as client:
        while not ended.wait(PAUSE):
            slowest.value = max(slowest.value, client.get(url).elapsed.total_seconds())
