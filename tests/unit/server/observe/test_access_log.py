"""A line tells what a request cost, and nothing of what was asked."""

import io
import json

from gprune_server.observe.access_log import AccessLog
from gprune_server.observe.observation import Outcome, PromptRecord
from gprune_vllm.account import VisualTokenAccount
from gprune_vllm.defaults import METHOD

PROMPT = PromptRecord("a", VisualTokenAccount(200, 60, 0.7, images=2), prompt_tokens=90)
OUTCOME = Outcome(tokens=5, time_to_first_token=0.3, queue_time=0.1, end_to_end=1.0, inter_token=0.1)


def written(outcome: Outcome | None) -> dict[str, object]:
    output = io.StringIO()
    log = AccessLog(output)
    log.started(PROMPT)
    assert output.getvalue() == ""
    log.ended(PROMPT, outcome)
    (line,) = output.getvalue().splitlines()
    return dict(json.loads(line))


def test_line_of_an_answered_prompt() -> None:
    line = written(OUTCOME)
    assert line.pop("time")
    assert line == {
        "event": "gprune_request",
        "request_id": "a",
        "images": 2,
        "videos": 0,
        "visual_tokens_input": 200,
        "visual_tokens_kept": 60,
        "prune_ratio": 0.7,
        "visual_token_budget": None,
        "ratio_source": "request",
        "method": METHOD,
        "tenant": "",
        "prompt_tokens": 90,
        "tokens": 5,
        "time_to_first_token": 0.3,
        "queue_time": 0.1,
        "end_to_end": 1.0,
        "inter_token": 0.1,
    }


def test_line_of_a_budget_names_it_and_its_method() -> None:
    account = VisualTokenAccount(200, 60, 0.7, method="tome", budget=50)
    output = io.StringIO()
    AccessLog(output).ended(PromptRecord("a", account, prompt_tokens=90), None)
    line = json.loads(output.getvalue())
    assert (line["visual_token_budget"], line["method"], line["prune_ratio"]) == (50, "tome", 0.7)


def test_line_of_a_client_that_left_has_no_outcome() -> None:
    assert "tokens" not in written(None)
