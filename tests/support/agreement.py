"""Answers of an engine or a server against those of the independent computation."""

from typing import Any

import pytest
from PIL import Image

from tests.support.engine import Engine
from tests.support.oracle import Oracle
from tests.support.questions import QUESTION, Answer, ask
from tests.support.servers import Server

NOISE = 1e-3
"""Nats by which log-probabilities in float32 may differ: the oracle sums in another order, and unchunked."""


def assert_agreement(
    asked: Server | Engine,
    oracle: Oracle,
    images: list[Image.Image],
    ratio: float = 0.0,
    question: str = QUESTION,
    *,
    method: str | None = None,
    budget: int | None = None,
    **settings: Any,
) -> Answer:
    """Assert that the same tokens come with the same log-probabilities, and return the answer.

    `settings` are those of the server, by the names of `Oracle.generate`.
    """
    fields = {"prune_method": method, "visual_token_budget": budget}
    fields = {name: value for name, value in fields.items() if value is not None}
    amount = None if budget is not None else ratio
    if isinstance(asked, Server):
        answer = ask(asked, images, amount, question, **fields)
    else:
        answer = asked.ask(images, amount, question, **fields)
    how: Any = settings if method is None else settings | {"method": method}
    expected = oracle.generate(images, oracle.chat(*images, question), ratio, budget=budget, **how)
    assert answer.token_ids[: len(expected)] == tuple(token for token, _ in expected)
    assert answer.logprobs[: len(expected)] == pytest.approx([logprob for _, logprob in expected], abs=NOISE)
    return answer
