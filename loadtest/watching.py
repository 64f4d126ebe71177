"""What a server's own metrics say, over time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from loadtest.target import Target

Seen = TypeVar("Seen")


def samples(text: str, *names: str) -> list[Sample]:
    """The samples of these names in what `/metrics` says."""
    # Only their lines: parsing all of them would take time from the server that is measured beside it.
    lines = "\n".join(line for line in text.splitlines() if line.startswith(names))
    found = (sample for family in text_string_to_metric_families(lines) for sample in family.samples)
    return [sample for sample in found if sample.name in names]


@asynccontextmanager
async def watched(target: Target, read: Callable[[str], Iterable[Seen]], interval: float) -> AsyncIterator[list[Seen]]:
    """A list that fills with what `read` finds in `/metrics`, every `interval` seconds."""
    seen: list[Seen] = []
    task = asyncio.create_task(_watch(target, read, interval, seen))
    try:
        yield seen
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _watch(target: Target, read: Callable[[str], Iterable[Seen]], interval: float, seen: list[Seen]) -> None:
    while True:
        if text := await target.text("/metrics"):
            seen += read(text)
        await asyncio.sleep(interval)
