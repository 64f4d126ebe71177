"""How requests are sent, and what the server tells of itself."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx

from evaluation.failure import EvaluationError
from evaluation.service import authorization
from loadtest.soak.request import Outcome, Request, outcome_of

TIMEOUT = 300
"""Seconds without a byte after which an answer is lost."""
BUSY = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")
"""Metrics that are zero while nothing is asked."""


class Client:
    """Talks to one server. Use it as an asynchronous context.

    Args:
        url: the server's.
        connections: requests in flight at once.
    """

    def __init__(self, url: str, connections: int) -> None:
        headers = authorization() | {"Content-Type": "application/json"}
        limits = httpx.Limits(max_connections=connections + 1)
        self._client = httpx.AsyncClient(base_url=url, timeout=TIMEOUT, headers=headers, limits=limits)

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def send(self, request: Request) -> Outcome:
        """Send a request, wait as long as its client would, and judge what came."""
        try:
            async with asyncio.timeout(request.patience):
                response = await self._client.post(request.path, content=request.content)
        except TimeoutError:
            return Outcome("aborted")
        except httpx.HTTPError as error:
            return Outcome("lost", f"{type(error).__name__} {error}")
        return outcome_of(request, response.status_code, response.text)

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The answer to a request that must have one.

        Raises:
            httpx.HTTPError: there is none.
        """
        response = await self._client.post(path, json=body)
        return response.raise_for_status().json()

    async def model(self) -> str:
        """The name of the model that is served.

        Raises:
            EvaluationError: no server answers.
        """
        try:
            response = (await self._client.get("/v1/models")).raise_for_status()
        except httpx.HTTPError as error:
            raise EvaluationError(f"no server answers at {self._client.base_url}: {error}") from error
        return str(response.json()["data"][0]["id"])

    async def left_behind(self) -> dict[str, float]:
        """What the server is still busy with, by the names of its metrics, while nothing is asked."""
        lines = (await self._client.get("/metrics")).raise_for_status().text.splitlines()
        samples = [line.rpartition(" ") for line in lines if line.startswith(BUSY)]
        return {name: float(value) for name, _, value in samples if float(value)}
