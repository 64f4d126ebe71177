"""How full a server's KV cache is, and how many prompts it holds, by the server's own metrics."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from evaluation.failure import EvaluationError
from loadtest.target import Target
from loadtest.watching import samples, watched

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
    for sample in samples(await target.text("/metrics"), CONFIGURATION):
        return Capacity(int(sample.labels["num_gpu_blocks"]), int(sample.labels["block_size"]))
    raise EvaluationError(f"{target.url}/metrics has no {CONFIGURATION}")


def use_of(target: Target) -> AbstractAsyncContextManager[list[float]]:
    """A list that fills with the shares of the KV cache that are in use."""
    return watched(target, lambda text: [sample.value for sample in samples(text, USE)], INTERVAL)
