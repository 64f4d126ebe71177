"""More requests than a server takes, for a while: each is answered or told to come again, and none is lost."""

import asyncio
import json
from collections import Counter
from contextlib import suppress
from typing import Any

import httpx

from tests.support import photos
from tests.support.questions import ask, messages, same
from tests.support.servers import MODEL, Server, children
from tests.support.waiting import HANG

CHAT = "/v1/chat/completions"
RUNNING, LIMIT = 2, 8  # of the fixture `small_server`
CLIENTS, REQUESTS = 24, 6  # requests of each client, one after the other
TOKENS = 128  # so that requests wait for the engine, not for their images, whatever the machine
HELD = 32  # refusals until which the engine is held up
PHOTOS = [photos.generated(200, 150, seed) for seed in range(3)]


class Crowd:
    """Clients that ask again as soon as they are answered.

    Attributes:
        outcomes: how many requests were answered and refused.
        queues: `vllm:num_requests_running` and `_waiting`, looked at again and again.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        (self._engine,) = children(server, "VLLM::EngineCore")
        self.outcomes: Counter[str] = Counter()
        self.queues: list[tuple[float, float]] = []

    async def rush(self) -> None:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=self._server.url, timeout=HANG, limits=limits) as client:
            watch = asyncio.create_task(self._watch())
            clients = (self._come_again(client, number) for number in range(CLIENTS))
            await asyncio.gather(self._hold_up(), *clients)
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch

    async def _hold_up(self) -> None:
        """Stop the engine until requests are refused: then some wait for it, however fast it is."""
        self._engine.suspend()
        try:
            async with asyncio.timeout(HANG):
                while self.outcomes["refused"] < HELD:
                    await asyncio.sleep(0.01)
        finally:
            self._engine.resume()

    async def _watch(self) -> None:
        while True:
            self.queues.append(await asyncio.to_thread(queue, self._server))

    async def _come_again(self, client: httpx.AsyncClient, number: int) -> None:
        for turn in range(REQUESTS):
            body: dict[str, Any] = {"max_tokens": TOKENS, "ignore_eos": True, "prune_ratio": turn % 3 * 0.3}
            body |= {"model": MODEL, "messages": messages([PHOTOS[turn % 3]], f"Client {number}, {turn}?")}
            if (number + turn) % 4 == 0:
                body |= {"stream": True, "stream_options": {"include_usage": True}}
            async with client.stream("POST", CHAT, json=body) as response:
                if response.status_code == 503:
                    await self._check_refusal(response)
                else:
                    await self._check_answer(response)

    async def _check_refusal(self, response: httpx.Response) -> None:
        assert int(response.headers["Retry-After"]) > 0
        assert json.loads(await response.aread())["error"]["code"] == 503
        self.outcomes["refused"] += 1
        await asyncio.sleep(0.1)

    async def _check_answer(self, response: httpx.Response) -> None:
        assert response.status_code == 200
        lines = [line.removeprefix("data: ") async for line in response.aiter_lines() if line]
        if response.headers["Content-Type"].startswith("text/event-stream"):
            *_, last, usage, end = lines
            assert end == "[DONE]"
            final, used = json.loads(last), json.loads(usage)["usage"]
        else:
            final = json.loads("".join(lines))
            used = final["usage"]
        assert final["choices"][0]["finish_reason"] == "length"
        assert used["completion_tokens"] == TOKENS
        self.outcomes["answered"] += 1


def queue(server: Server) -> tuple[float, float]:
    metrics = server.metrics().items()
    names = ("vllm:num_requests_running", "vllm:num_requests_waiting")
    running, waiting = (sum(value for sample, value in metrics if sample.partition("{")[0] == name) for name in names)
    return running, waiting


def test_every_request_is_answered_or_told_to_come_again(small_server: Server) -> None:
    fresh = ask(small_server, PHOTOS[:2], 0.5, cache_salt="before")
    before = counts(small_server)
    crowd = Crowd(small_server)
    asyncio.run(crowd.rush())

    assert crowd.outcomes.total() == CLIENTS * REQUESTS
    assert crowd.outcomes["answered"]
    assert crowd.outcomes["refused"]
    assert max(waiting for _, waiting in crowd.queues) > 0
    assert max(running for running, _ in crowd.queues) <= RUNNING
    assert max(running + waiting for running, waiting in crowd.queues) <= LIMIT

    answered, refused = crowd.outcomes["answered"], crowd.outcomes["refused"]
    assert counts(small_server) - before == Counter(served=answered, finished=answered, refused=refused)
    assert same(ask(small_server, PHOTOS[:2], 0.5, cache_salt="after"), fresh)


def counts(server: Server) -> Counter[str]:
    """What a server's metrics say of its requests.

    A request may overtake the one that brings its image to the engine. It is then sent again with the image, and vLLM
    counts its first attempt as finished too, with the reason `error`.
    """
    metrics = server.metrics().items()
    finished = (value for name, value in metrics if "request_success_total" in name and 'reason="length"' in name)
    return Counter(
        served=int(server.total("gprune_requests_total")),
        finished=int(sum(finished)),
        refused=int(server.total("vllm:admission_rejections_total")),
    )
