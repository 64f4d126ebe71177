"""How full a server's KV cache is, and how many prompts it holds, by the server's own metrics."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from evaluation.failure import EvaluationError
from loadtest.target import Target

INTERVAL = 1.0
"""Seconds between two looks."""
USE = "vllm:kv_cache_usage_perc"
CONFIGURATION = "vllm:cache_config_info"


@dataclass(frozen=True, slots=True)
class Capacity:
    """Room for the keys and values of tokens."""

    blocks: int
    block_size: int

    @property
    def tokens(self) -> int:
        """Tokens that fit."""
        return self.blocks * self.block_size

    def prompts(self, tokens: int) -> int:
        """Prompts of so many tokens, output included, that fit at once. Each fills whole blocks."""
        return self.blocks // -(-tokens // self.block_size)


async def capacity(target: Target) -> Capacity:
    """The capacity of a server.

    Raises:
        EvaluationError: it does not tell.
    """
    for sample in await _samples(target, CONFIGURATION):
        return Capacity(int(sample.labels["num_gpu_blocks"]), int(sample.labels["block_size"]))
    raise EvaluationError(f"{target.url}/metrics has no {CONFIGURATION}")


@asynccontextmanager
async def watched(target: Target) -> AsyncIterator[list[float]]:
    """A list that fills with the shares of the KV cache that are in use."""
    seen: list[float] = []
    task = asyncio.create_task(_watch(target, seen))
    try:
        yield seen
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _watch(target: Target, seen: list[float]) -> None:
    while True:
        seen += [sample.value for sample in await _samples(target, USE)]
        await asyncio.sleep(INTERVAL)


async def _samples(target: Target, name: str) -> list[Sample]:
    # Only these lines: parsing all of them would take time from the server that is measured beside it.
    lines = [line for line in (await target.text("/metrics")).splitlines() if line.startswith(name)]
    return [sample for family in text_string_to_metric_families("\n".join(lines)) for sample in family.samples]
