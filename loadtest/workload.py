"""What is asked: requests of `vllm bench serve` with images and pruning ratios of our own."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from vllm.benchmarks.datasets import SampleRequest

from loadtest.arguments import PROMPTS
from loadtest.cell import Ratios


@dataclass(frozen=True, slots=True)
class Workload:
    """Makes requests that differ in their images, and in their prompts by turns.

    Attributes:
        images: `data:` URLs without end.
        images_per_request: 0 asks about text only.
        max_tokens: of an answer.
    """

    images: Iterator[str]
    images_per_request: int = 1
    prompts: Sequence[str] = PROMPTS
    max_tokens: int = 16

    def requests(self, count: int, ratios: Ratios, source: random.Random) -> list[SampleRequest]:
        """Make requests that ask for these ratios equally often, in random order."""
        chosen = list(islice(cycle(ratios), count))
        source.shuffle(chosen)
        return [self._request(ratio, prompt) for ratio, prompt in zip(chosen, cycle(self.prompts), strict=False)]

    def _request(self, ratio: float | None, prompt: str) -> SampleRequest:
        images = islice(self.images, self.images_per_request)
        content = [*({"type": "image_url", "image_url": {"url": url}} for url in images)]
        return SampleRequest(
            prompt=prompt,
            prompt_len=0,  # the server counts it
            expected_output_len=self.max_tokens,
            chat_messages=[{"role": "user", "content": [*content, {"type": "text", "text": prompt}]}],
            request_overrides=None if ratio is None else {"prune_ratio": ratio},
        )


def ratio_of(request: SampleRequest) -> float | None:
    """The ratio that a request asks for; None if it names none."""
    return (request.request_overrides or {}).get("prune_ratio")
