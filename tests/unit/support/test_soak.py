"""What the soak of the nightly tests counts as a fault, and that its traffic has all that is promised."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import httpx
import psutil
import pytest

from gprune_server.api.schema import PrunableBatchRequest, PrunableChatRequest, PrunableResponsesRequest
from tests.nightly.server.endings import Ending, ending_of
from tests.nightly.server.memory import Memory, is_flat
from tests.nightly.server.traffic import BUDGETS, METHODS, RATIOS, WEIGHTS, Request, Traffic
from tests.support.fuzzing.requests import BATCH_PATH, CHAT_PATH, RESPONSES_PATH, Case

WHOLE = json.dumps({"choices": [{"message": {"content": 'It says "error":{ and more'}}]})
STREAM = 'data: {"choices": []}\n\ndata: [DONE]\n\n'
RESPONSES = 'event: response.created\ndata: {}\n\nevent: response.completed\ndata: {"response": {"error": null}}\n\n'
ERROR = {"message": "no", "type": "BadRequestError", "param": None}
BROKEN = f"data: {json.dumps({'error': ERROR | {'code': 500}})}\n\ndata: [DONE]\n\n"
REFUSAL = json.dumps({"error": ERROR | {"code": 400}})
DIED = json.dumps({"error": ERROR | {"code": 500}})
SCHEMAS = {CHAT_PATH: PrunableChatRequest, BATCH_PATH: PrunableBatchRequest, RESPONSES_PATH: PrunableResponsesRequest}


@pytest.mark.parametrize(
    ("kind", "status", "text", "ending"),
    [
        ("chat", 200, WHOLE, "answered"),
        ("chat", 200, STREAM, "answered"),
        ("chat", 200, RESPONSES, "answered"),
        ("chat", 200, WHOLE[:-1], "fault"),
        ("chat", 200, STREAM.removesuffix("data: [DONE]\n\n"), "fault"),
        ("chat", 200, RESPONSES.partition("event: response.completed")[0], "fault"),
        ("chat", 200, BROKEN, "fault"),
        ("chat", 500, DIED, "fault"),
        ("chat", 503, "", "fault"),
        ("chat", 400, REFUSAL, "fault"),
        ("refused", 400, REFUSAL, "refused"),
        ("refused", 400, '{"detail": "no"}', "fault"),
        ("refused", 500, DIED, "fault"),
        ("refused", 200, WHOLE, "fault"),
        ("hostile", 200, WHOLE, "answered"),
        ("hostile", 400, REFUSAL, "refused"),
        ("hostile", 500, DIED, "fault"),
        ("hostile", 200, BROKEN, "fault"),
    ],
)
def test_answers_are_judged(kind: str, status: int, text: str, ending: Ending) -> None:
    content = "text/event-stream" if text.startswith(("data", "event")) else "application/json"
    answer = httpx.Response(status, text=text, headers={"Content-Type": content})
    found, told = ending_of(Request(kind, Case(CHAT_PATH, b"{}")), answer)
    assert found == ending
    assert bool(told) == (ending == "fault")


CURVES: dict[str, tuple[Callable[[int], float], bool]] = {
    "flat": (lambda round: 1000, True),
    "filling its caches at first": (lambda round: min(3000, 1000 + 100 * round), True),
    "noisy": (lambda round: 1000 + 300 * (round % 10 == 0), True),
    "at the bound": (lambda round: 1000 + 40 * (round >= 75), True),
    "above the bound": (lambda round: 1000 + 41 * (round >= 75), False),
    "leaking": (lambda round: 1000 + 2 * round, False),
    "small and leaking": (lambda round: 10 + round / 2, False),
    "shrinking": (lambda round: 1000 - 2 * round, True),
}


@pytest.mark.parametrize("name", CURVES)
def test_memory_is_flat_within_the_bound(name: str) -> None:
    held, flat = CURVES[name]
    assert is_flat([held(round) for round in range(100)]) == flat


def test_processes_that_end_are_told() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        memory = Memory(psutil.Process())
        memory.sample()
        child.kill()
    memory.sample()
    assert [fault for fault in memory.faults() if str(child.pid) in fault] == [
        f"{name} was not there all the time" for name in memory.curves if name.endswith(f" {child.pid}")
    ]


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    """Enough of them for whatever is rare."""
    traffic = Traffic(seed=1, hostile=20)
    return [traffic.draw() for _ in range(500)]


def test_the_traffic_has_all_that_is_promised(requests: list[Request]) -> None:
    assert set(Counter(request.kind for request in requests)) == set(WEIGHTS)
    leaving = [request.patience for request in requests if request.patience is not None]
    assert min(leaving) < 0.1 < 1 < max(leaving)
    sent = [json.loads(request.case.body) for request in requests if request.kind in ("chat", "batch", "responses")]
    assert {body.get("prune_ratio") for body in sent} == {None, *RATIOS}
    assert {body.get("visual_token_budget") for body in sent} == {None, *BUDGETS}
    assert {body.get("prune_method") for body in sent} == {None, *METHODS}
    assert {body.get("stream") for body in sent} == {None, True, False}


def test_what_is_valid_is_what_the_endpoint_takes(requests: list[Request]) -> None:
    sent = [request.case for request in requests if request.kind in ("chat", "batch", "responses")]
    assert {case.path for case in sent} == set(SCHEMAS)
    for case in sent:
        assert SCHEMAS[case.path].model_validate_json(case.body).prune_method in (None, *METHODS)
