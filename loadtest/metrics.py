"""What a server's own metrics say."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

Seen = TypeVar("Seen")
TOKENS, PROMPTS = "gprune_visual_tokens_total", "gprune_requests_total"


def samples(text: str, *names: str) -> list[Sample]:
    """The samples of these names in what `/metrics` says."""
    # Only their lines: parsing all of them would take time from the server that is measured beside it.
    lines = "\n".join(line for line in text.splitlines() if line.startswith(names))
    found = (sample for family in text_string_to_metric_families(lines) for sample in family.samples)
    return [sample for sample in found if sample.name in names]


async def read_metrics(urls: Sequence[str]) -> str:
    """What `/metrics` of these servers says, one after the other; nothing of a server that does not tell."""
    texts = []
    async with httpx.AsyncClient(timeout=60) as client:
        for url in urls:
            with suppress(httpx.HTTPError):
                response = await client.get(f"{url}/metrics")
                texts.append(response.text if response.status_code == httpx.codes.OK else "")
    return "\n".join(texts)


@dataclass(frozen=True, slots=True)
class VisualTokens:
    """Visual tokens of the prompts with images that reached the engine, before pruning and after it."""

    prompts: float
    input: float
    kept: float

    @classmethod
    def of(cls, text: str) -> "VisualTokens":
        """Read them from `/metrics`; zeros where it has none."""
        prompts = sum(sample.value for sample in samples(text, PROMPTS))
        stages = [(sample.labels["stage"], sample.value) for sample in samples(text, TOKENS)]
        totals = [sum(value for stage, value in stages if stage == name) for name in ("input", "kept")]
        return cls(prompts, *totals)

    def since(self, before: "VisualTokens") -> "VisualTokens":
        """What came after an earlier look."""
        return VisualTokens(self.prompts - before.prompts, self.input - before.input, self.kept - before.kept)


@asynccontextmanager
async def watched(urls: Sequence[str], read: Callable[[str], Seen], interval: float) -> AsyncIterator[list[Seen]]:
    """Fill a list with what `read` finds in `/metrics`, every `interval` seconds."""
    seen: list[Seen] = []

    async def watch() -> None:
        while True:
            if text := await read_metrics(urls):
                seen.append(read(text))
            await asyncio.sleep(interval)

    task = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
