"""A verdict is read from the log-probabilities of a conversation that the answer continues."""

from types import SimpleNamespace
from typing import Any

import pytest

from evaluation.agreement.judge import verdict_of


def place(token: int, rank: int, logprob: float) -> dict[str, Any]:
    """A place of the prompt with its token, and the first choice if that is another."""
    first = {} if rank == 1 else {"99": {"rank": 1, "logprob": -0.1}}
    return {str(token): {"rank": rank, "logprob": logprob}, **first}


JUDGED = SimpleNamespace(
    prompt_token_ids=[1, 2, 7, 8],
    prompt_logprobs=[None, place(2, 1, -0.5), place(7, 1, -0.2), place(8, 3, -2.1)],
)


@pytest.mark.parametrize("end", [[], [0]])
def test_the_tokens_of_the_answer_are_judged(end: list[int]) -> None:
    verdict, number = verdict_of(JUDGED, [7, 8, *end])
    assert verdict is not None
    assert (verdict.agreement, number) == (0.5, 2)
    assert verdict.gap == pytest.approx(1.0)


@pytest.mark.parametrize("tokens", [[7, 9], [], [0], [7, 8, 0, 0]])
def test_an_answer_whose_text_gives_other_tokens_is_not_judged(tokens: list[int]) -> None:
    assert verdict_of(JUDGED, tokens) == (None, 0)
