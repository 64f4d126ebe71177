"""Two replicas behind vLLM's router answer as one server does, and one that is taken away finishes what it has."""

import json
import random
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from gprune_server.launch import free_port, launch
from tests.support import photos
from tests.support.questions import ask, messages, same
from tests.support.servers import API_KEY, MODEL, Server, serve

ROUTER = str(Path(sys.executable).parent / "vllm-router")
REQUESTS = [(image, ratio) for image in range(3) for ratio in (None, 0.0, 0.5, 0.9)]
KEPT = 'gprune_visual_tokens_total{stage="kept"}'


@dataclass(frozen=True, slots=True)
class Fleet:
    """A router, and the replicas behind it."""

    router: Server
    replicas: tuple[Server, ...]

    def kept_tokens(self) -> list[float]:
        """Visual tokens kept so far, by each replica."""
        return [replica.metrics()[KEPT] for replica in self.replicas]


@pytest.fixture(scope="module")
def fleet(server: Server, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The server of all tests and one more."""
    folder = tmp_path_factory.mktemp("fleet")
    with (
        serve(checkpoint, folder / "second.log", "--api-key", API_KEY, "--shutdown-timeout", "60") as second,
        route([server, second], folder / "router.log") as router,
    ):
        yield Fleet(router, (server, second))


@contextmanager
def route(replicas: list[Server], log: Path) -> Iterator[Server]:
    """Start vLLM's router in front of `replicas`, sending requests to each in turn."""
    command = [ROUTER, "--worker-urls", *(replica.url for replica in replicas), "--policy", "round_robin"]
    router = Server.of(launch([*command, "--prometheus-port", str(free_port()), "--api-key", API_KEY], log))
    try:
        yield router
    finally:
        router.close()


def chat(ratio: float, tokens: int = 12) -> dict[str, Any]:
    """The body of a chat about a photo."""
    question = {"model": MODEL, "messages": messages([photos.flower()]), "prune_ratio": ratio}
    return {**question, "max_completion_tokens": tokens, "temperature": 0, "ignore_eos": True}


@contextmanager
def stream(server: Server, body: dict[str, Any]) -> Iterator[Iterator[str]]:
    """The events of a streamed chat."""
    body = {**body, "stream": True, "stream_options": {"include_usage": True}}
    headers = {"Authorization": f"Bearer {API_KEY}"}
    url = f"{server.url}/v1/chat/completions"
    with httpx.stream("POST", url, json=body, headers=headers, timeout=120) as response:
        yield (line.removeprefix("data: ") for line in response.iter_lines() if line)


def test_mixed_ratios_answer_as_one_server_does(server: Server, fleet: Fleet) -> None:
    requests = REQUESTS * 3
    random.Random(2).shuffle(requests)
    images = photos.photos()
    expected = {(image, ratio): ask(server, [images[image]], ratio, max_tokens=8) for image, ratio in REQUESTS}
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda item: ask(fleet.router, [images[item[0]]], item[1], max_tokens=8), requests))
    for request, answer in zip(requests, answers, strict=True):
        assert same(answer, expected[request])
        assert answer.visual_tokens == expected[request].visual_tokens


def test_metrics_of_the_replicas_add_up_to_what_was_answered(fleet: Fleet) -> None:
    before = fleet.kept_tokens()
    answers = [ask(fleet.router, [photos.china()], ratio, max_tokens=1) for ratio in (0.1, 0.3, 0.5, 0.7)]
    counted = [after - start for after, start in zip(fleet.kept_tokens(), before, strict=True)]
    assert sum(counted) == sum((answer.visual_tokens or {})["kept"] for answer in answers)
    assert all(counted)  # each had its turn


def test_streams_arrive_whole(server: Server, fleet: Fleet) -> None:
    whole = server.post("/v1/chat/completions", chat(0.6)).json()
    with stream(fleet.router, chat(0.6)) as events:
        *chunks, end = events
    assert end == "[DONE]"
    chunks = [json.loads(chunk) for chunk in chunks]
    pieces = [choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]]
    assert "".join(pieces) == whole["choices"][0]["message"]["content"]
    # vLLM puts tokens into one event where its engine is ahead of its API server, so that events are not counted.
    assert chunks[-1]["usage"]["completion_tokens"] == 12
    assert chunks[-1]["usage"]["visual_tokens"] == whole["usage"]["visual_tokens"]


def test_responses_take_the_ratio_through_the_router(fleet: Fleet) -> None:
    content = [
        {"type": "input_image", "detail": "auto", "image_url": photos.data_url(photos.china())},
        {"type": "input_text", "text": "What is this?"},
    ]
    body = {"model": MODEL, "input": [{"role": "user", "content": content}], "max_output_tokens": 2, "prune_ratio": 0.5}
    usage = fleet.router.post("/v1/responses", body).json()["usage"]
    assert usage["visual_tokens"]["kept"] < usage["visual_tokens"]["input"]


def test_refusals_pass_the_router_as_they_are(server: Server, fleet: Fleet) -> None:
    direct, routed = (each.post("/v1/chat/completions", chat(1.5)) for each in (server, fleet.router))
    assert direct.status_code == routed.status_code == 400
    assert direct.json() == routed.json()
    assert direct.json()["error"]["param"] == "prune_ratio"


def test_metrics_of_the_router_are_not_those_of_all_replicas(fleet: Fleet) -> None:
    """The trap that docs/scaling.md warns of: /metrics of the router is one replica's."""
    ask(fleet.router, [photos.china()], 0.5, max_tokens=1)
    assert fleet.router.metrics()[KEPT] < sum(fleet.kept_tokens())


def test_replica_that_is_taken_away_finishes_what_it_has(fleet: Fleet) -> None:
    """With the arguments of the manifests under deploy/. Of these tests the last: one replica is left."""
    *_, leaving = fleet.replicas
    with stream(leaving, chat(0.5, tokens=400)) as events:
        next(events)
        leaving.process.send_signal(signal.SIGTERM)
        *_, usage, end = events
    assert leaving.process.wait(60) == 0
    assert "Finishing 1 requests" in leaving.log.read_text()  # else it came too late to tell anything
    assert json.loads(usage)["usage"]["completion_tokens"] == 400
    assert end == "[DONE]"
    assert all(ask(fleet.router, [photos.china()], 0.5, max_tokens=1).visual_tokens for _ in range(4))
