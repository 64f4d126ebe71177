"""How responses are judged."""

import json

import pytest

from loadtest.soak.request import Ending, Request, outcome_of

VALID = Request("chat", "/v1/chat/completions", b"{}")
INVALID = Request("no JSON", "/v1/chat/completions", b"{", invalid=True)
WHOLE = json.dumps({"choices": [{"message": {"content": 'It says "error":{ and more'}}]})
STREAM = 'data: {"choices": []}\n\ndata: [DONE]\n\n'
RESPONSES = 'event: response.created\ndata: {}\n\nevent: response.completed\ndata: {"response": {"error": null}}\n\n'
BROKEN = 'data: {"choices": []}\n\ndata: {"error": {"message": "the engine died"}}\n\ndata: [DONE]\n\n'
REFUSAL = json.dumps({"error": {"message": "no", "type": "BadRequestError", "param": "n", "code": 400}})


@pytest.mark.parametrize(
    ("request_", "status", "text", "ending"),
    [
        (VALID, 200, WHOLE, "answered"),
        (VALID, 200, STREAM, "answered"),
        (VALID, 200, RESPONSES, "answered"),
        (VALID, 200, WHOLE[:-1], "lost"),
        (VALID, 200, "", "lost"),
        (VALID, 200, STREAM.removesuffix("data: [DONE]\n\n"), "lost"),
        (VALID, 200, RESPONSES.partition("event: response.completed")[0], "lost"),
        (VALID, 200, BROKEN, "failed"),
        (VALID, 500, REFUSAL, "failed"),
        (VALID, 503, "", "failed"),
        (VALID, 400, REFUSAL, "rejected"),
        (INVALID, 400, REFUSAL, "refused"),
        (INVALID, 404, REFUSAL, "refused"),
        (INVALID, 500, REFUSAL, "failed"),
        (INVALID, 200, WHOLE, "accepted"),
        (INVALID, 200, BROKEN, "accepted"),
    ],
)
def test_responses_are_judged(request_: Request, status: int, text: str, ending: Ending) -> None:
    outcome = outcome_of(request_, status, text)
    assert outcome.ending == ending
    assert bool(outcome.detail) == (ending not in ("answered", "refused"))
