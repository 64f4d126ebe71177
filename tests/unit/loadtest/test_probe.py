"""When an answer has changed."""

from collections.abc import Mapping
from typing import Any

import pytest

from loadtest.soak.probe import Probe, Reading, difference

FIRST = Reading((5, 6), (-0.1, -0.2))


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (Reading((5, 6), (-0.1, -0.2)), ""),
        (Reading((5, 6), (-0.1, -0.2 + 1e-16)), "log-probabilities, by up to 1.1e-16"),
        (Reading((5, 7), (-0.1, -0.2)), "token ids [5, 7] instead of [5, 6]"),
        (Reading((5,), (-0.1,)), "token ids [5] instead of [5, 6]"),
    ],
)
def test_a_difference_in_the_last_bit_is_told(now: Reading, told: str) -> None:
    assert (difference(FIRST, now) or "") == told


class Answers:
    """Stands in for the client: says how the answers come one after the other."""

    def __init__(self, *answers: tuple[int, float]) -> None:
        self._answers = iter(answers)
        self.salts: list[Any] = []

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        self.salts.append(body.get("cache_salt"))
        cached, logprob = next(self._answers)
        choice = {"token_ids": [7], "logprobs": {"content": [{"logprob": logprob}]}}
        return {"choices": [choice], "usage": {"prompt_tokens_details": {"cached_tokens": cached}}}


async def test_answers_are_held_against_the_first_for_which_as_much_was_cached() -> None:
    answers: Any = Answers((0, -0.5), (128, -0.6), (0, -0.5), (128, -0.6), (128, -0.5))
    probe = Probe(answers, "model")
    differences = [await probe.ask() for _ in range(5)]
    assert [bool(found) for found in differences] == [False, False, False, False, True]
    salts = [salt for salt in answers.salts if salt]
    assert len(salts) == len(set(salts)) == 2
