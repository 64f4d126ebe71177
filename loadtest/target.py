"""The server under test."""

import time
from typing import Any

import httpx

from evaluation.failure import EvaluationError
from loadtest.answer import Answer
from loadtest.request import Request
from loadtest.streaming import read_stream, refusal

TIMEOUT = 600
"""Seconds without a byte after which a request has failed."""
KEEP_ALIVE = 2
"""Seconds for which an idle connection is kept. Servers on uvicorn close theirs after 5."""


class Target:
    """An OpenAI-compatible server. Use it as an asynchronous context.

    Args:
        url: with or without `/v1`.
        key: for its authentication; empty for none.
    """

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        # How many requests are in flight is what is tested: the client must not be what limits it.
        # Connections are given up before servers close them: a request sent just then would be lost.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=KEEP_ALIVE)
        try:
            self._client = httpx.AsyncClient(base_url=self.url, timeout=TIMEOUT, headers=headers, limits=limits)
        except httpx.InvalidURL as error:
            raise EvaluationError(f"{url} is no URL: {error}") from error

    async def __aenter__(self) -> "Target":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def model(self, asked: str | None) -> str:
        """The name of the model to ask: `asked`, or else the first that is served.

        Raises:
            EvaluationError: no server answers, or it does not serve that model.
        """
        try:
            response = await self._client.get("/v1/models")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EvaluationError(f"no server answers at {self.url}: {type(error).__name__} {error}") from error
        if response.status_code == httpx.codes.NOT_FOUND and asked:
            return asked  # a server that does not list its models
        if response.status_code != httpx.codes.OK:
            raise EvaluationError(f"{self.url}/v1/models answers {refusal(response)}")
        return _choose(_names(response, self.url), asked, self.url)

    async def ask(self, request: Request, due: float) -> Answer:
        """Send a request, and read its answer to the end. Whatever goes wrong is the answer's error."""
        answer = Answer(due, time.perf_counter(), request.prune_ratio)
        try:
            async with self._client.stream("POST", "/v1/chat/completions", content=request.content) as response:
                if response.status_code == httpx.codes.OK:
                    await read_stream(response, answer)
                else:
                    await response.aread()
                    answer.error = refusal(response)
        except (httpx.HTTPError, ValueError) as error:
            answer.error = f"{type(error).__name__}: {error}".removesuffix(": ")
        return _checked(request, answer)

    async def text(self, path: str) -> str:
        """What a path of the server answers; nothing where it is not there."""
        try:
            response = await self._client.get(path)
        except httpx.HTTPError:
            return ""
        return response.text if response.status_code == httpx.codes.OK else ""


def _names(response: httpx.Response, url: str) -> list[str]:
    """The models that are served."""
    try:
        names: list[Any] = [model["id"] for model in response.json()["data"]]
    except (ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f"{url}/v1/models is not OpenAI's list of models") from error
    return [str(name) for name in names]


def _choose(names: list[str], asked: str | None, url: str) -> str:
    if asked is None and names:
        return names[0]
    if asked is None or asked not in names:
        raise EvaluationError(f"{url} serves {', '.join(names) or 'no model'}, not {asked or 'any'}")
    return asked


def _checked(request: Request, answer: Answer) -> Answer:
    """An answer to a request that asked for pruning failed if nothing says that it was pruned.

    Servers that do not know `prune_ratio` ignore it, and their figures would be written down as those of pruning.
    """
    if answer.succeeded and request.prune_ratio and request.images and answer.visual_kept is None:
        answer.error = "200, but usage.visual_tokens is missing: was it pruned? --ratios none sends no prune_ratio"
    return answer
