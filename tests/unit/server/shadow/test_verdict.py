"""A verdict counts the tokens that the unpruned model puts first, and how far the others are below its choice."""

import pytest
from vllm.logprobs import Logprob

from gprune_server.shadow.verdict import Verdict

Place = dict[int, Logprob]


def first(token: int, logprob: float = -0.1) -> Place:
    """A place where the model puts a token first."""
    return {token: Logprob(logprob, rank=1)}


def behind(token: int, logprob: float, choice: int, best: float) -> Place:
    """A place where the model puts another token first."""
    return {token: Logprob(logprob, rank=7), choice: Logprob(best, rank=1)}


def test_an_answer_that_the_model_would_give_agrees_wholly() -> None:
    assert Verdict.of([None, first(1), first(2), first(3)], [2, 3]) == Verdict(1.0, 0.0)


def test_tokens_behind_the_first_choice_widen_the_gap() -> None:
    verdict = Verdict.of([None, first(9), first(4), behind(5, -3.5, 6, -0.5)], [4, 5])
    assert verdict.agreement == 0.5
    assert verdict.gap == pytest.approx(1.5)


def test_the_prompt_in_front_of_the_answer_does_not_count() -> None:
    assert Verdict.of([None, behind(1, -9, 2, 0), first(3)], [3]) == Verdict(1.0, 0.0)


def test_log_probabilities_of_another_answer_are_no_verdict() -> None:
    with pytest.raises(KeyError):
        Verdict.of([None, first(1)], [2])
