"""How many prompts a server's KV cache holds, by the server's own metrics."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadtest.failure import LoadTestError
from loadtest.metrics import read_metrics, samples

USE, CONFIGURATION = "vllm:kv_cache_usage_perc", "vllm:cache_config_info"


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


async def capacity(urls: Sequence[str]) -> Capacity:
    """Read the capacity of a server.

    Raises:
        LoadTestError: it does not tell.
    """
    for sample in samples(await read_metrics(urls), CONFIGURATION):
        return Capacity(int(sample.labels["num_gpu_blocks"]), int(sample.labels["block_size"]))
    raise LoadTestError(f"{urls[0]}/metrics has no {CONFIGURATION}")


def use(text: str) -> float:
    """The share of the KV cache that is in use, by what `/metrics` says."""
    return max((sample.value for sample in samples(text, USE)), default=0.0)
