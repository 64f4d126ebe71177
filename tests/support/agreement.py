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
ROUNDING = 0.15
"""Nats by which those of a model in bfloat16 may differ on average from an oracle in float32. It is about 0.02, but
0.13 where rounding changes which of two equally good tokens stays of a small image."""


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
    assert_expected(answer, oracle, images, oracle.chat(*images, question), ratio, budget=budget, **how)
    return answer


def assert_expected(
    answer: Answer, oracle: Oracle, images: list[Image.Image], prompt: str, ratio: float, **how: Any
) -> None:
    """Assert that an answer is the oracle's, or under rounding that the oracle finds its tokens as probable."""
    forced = {"forced": answer.token_ids} if oracle.rounded else {}
    expected = oracle.generate(images, prompt, ratio, **forced, **how)
    assert answer.token_ids[: len(expected)] == tuple(token for token, _ in expected)
    pairs = [(told, logprob) for told, (_, logprob) in zip(answer.logprobs, expected, strict=False)]
    if oracle.rounded:
        assert sum(abs(told - logprob) for told, logprob in pairs) / len(pairs) < ROUNDING
    else:
        assert [told for told, _ in pairs] == pytest.approx([logprob for _, logprob in pairs], abs=NOISE)
