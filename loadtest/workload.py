"""What is asked: requests of `vllm bench serve` with images and pruning ratios of our own."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice

from vllm.benchmarks.datasets import SampleRequest

from loadtest.cell import Ratios

PROMPTS = ("Describe the picture.", "What are the main colours?", "Is there any text, and what does it say?")


@dataclass(frozen=True, slots=True)
class Workload:
    """Makes requests that differ in their images, and in their prompts by turns.

    Attributes:
        images: `data:` URLs without end.
        max_tokens: of an answer.
    """

    images: Iterator[str]
    max_tokens: int

    def requests(self, count: int, ratios: Ratios, source: random.Random) -> list[SampleRequest]:
        """Make requests that ask for these ratios equally often, in random order."""
        chosen = list(islice(cycle(ratios), count))
        source.shuffle(chosen)
        return [self._request(ratio, prompt) for ratio, prompt in zip(chosen, cycle(PROMPTS), strict=False)]

    def _request(self, ratio: float | None, prompt: str) -> SampleRequest:
        image = {"type": "image_url", "image_url": {"url": next(self.images)}}
        return SampleRequest(
            prompt=prompt,
            prompt_len=0,  # the server counts it
            expected_output_len=self.max_tokens,
            chat_messages=[{"role": "user", "content": [image, {"type": "text", "text": prompt}]}],
            request_overrides={} if ratio is None else {"prune_ratio": ratio},
        )
