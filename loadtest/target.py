"""The server under test, and what its own metrics say."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import TypeVar

import httpx
import numpy as np
import openai
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from loadtest.failure import LoadTestError

Seen = TypeVar("Seen")
TIMEOUT = 600
"""Seconds until a single request has failed."""
TOKENS, PROMPTS = "gprune_visual_tokens_total", "gprune_requests_total"


@dataclass(frozen=True, slots=True)
class Target:
    """An OpenAI-compatible server.

    Attributes:
        url: without `/v1`.
        model: the name by which it is asked.
        metrics_urls: servers whose `/metrics` count the prompts; more than one behind a router.
    """

    url: str
    model: str
    key: str
    metrics_urls: Sequence[str]

    def client(self) -> openai.OpenAI:
        """Make a client that asks once. Close it."""
        key = self.key or "none"
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=TIMEOUT)

    async def metrics(self) -> str:
        """What `/metrics` says, one server after the other; nothing of a server that does not tell."""
        texts = []
        async with httpx.AsyncClient(timeout=60) as client:
            for url in self.metrics_urls:
                with suppress(httpx.HTTPError):
                    response = await client.get(f"{url}/metrics")
                    texts.append(response.text if response.status_code == httpx.codes.OK else "")
        return "\n".join(texts)

    @asynccontextmanager
    async def watched(self, read: Callable[[str], Seen], interval: float) -> AsyncIterator[list[Seen]]:
        """Fill a list with what `read` finds in the metrics, every `interval` seconds."""
        seen: list[Seen] = []

        async def watch() -> None:
            while True:
                if text := await self.metrics():
                    seen.append(read(text))
                await asyncio.sleep(interval)

        task = asyncio.create_task(watch())
        try:
            yield seen
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def reach(url: str, key: str = "", model: str = "", metrics_urls: Sequence[str] = ()) -> Target:
    """Find a server and a model on it, the first that it lists if `model` names none.

    Raises:
        LoadTestError: no server answers, or it does not serve that model.
    """
    url = url.rstrip("/").removesuffix("/v1")
    target = Target(url, model, key, tuple(metrics_urls or ()) or (url,))
    try:
        with target.client() as client:
            names = [each.id for each in client.models.list()]
    except openai.OpenAIError as error:
        raise LoadTestError(f"no models are listed at {url}: {error}") from error
    if not names or (model and model not in names):
        raise LoadTestError(f"{url} serves {', '.join(names) or 'no model'}, not {model or 'any'}")
    return replace(target, model=model or names[0])


def samples(text: str, *names: str) -> list[Sample]:
    """The samples of these names in what `/metrics` says."""
    # Only their lines: parsing all of them would take time from the server that is measured beside it.
    lines = "\n".join(line for line in text.splitlines() if line.startswith(names))
    found = (sample for family in text_string_to_metric_families(lines) for sample in family.samples)
    return [sample for sample in found if sample.name in names]


def visual_tokens(text: str) -> NDArray[np.float64]:
    """Count the prompts with images that reached the engine, and their visual tokens before pruning and after: [3].

    All are zero where `/metrics` does not tell.
    """
    prompts = [sample.value for sample in samples(text, PROMPTS)]
    stages = [(sample.labels["stage"], sample.value) for sample in samples(text, TOKENS)]
    tokens = [sum(value for stage, value in stages if stage == name) for name in ("input", "kept")]
    return np.asarray([sum(prompts), *tokens])
