"""An answer's tokens are collected from outputs of every kind, up to a limit."""

from types import SimpleNamespace
from typing import Any

import pytest
from vllm.sampling_params import RequestOutputKind

from gprune_server.shadow.answer import LONGEST, Answer

DELTA, CUMULATIVE, FINAL = RequestOutputKind.DELTA, RequestOutputKind.CUMULATIVE, RequestOutputKind.FINAL_ONLY


def output(*tokens: int, index: int = 0, finished: bool = False) -> Any:
    return SimpleNamespace(outputs=[SimpleNamespace(index=index, token_ids=tokens)], finished=finished)


def collected(kind: RequestOutputKind, *outputs: Any) -> Answer:
    answer = Answer(kind)
    for each in outputs:
        answer.add(each)
    return answer


@pytest.mark.parametrize(
    ("kind", "outputs"),
    [
        (DELTA, [output(1, 2), output(3, finished=True)]),
        (CUMULATIVE, [output(1, 2), output(1, 2, 3, finished=True)]),
        (FINAL, [output(1, 2, 3, finished=True)]),
    ],
)
def test_every_kind_of_output_gives_the_same_answer(kind: RequestOutputKind, outputs: list[Any]) -> None:
    answer = collected(kind, *outputs)
    assert (answer.tokens, answer.finished) == ([1, 2, 3], True)


def test_the_first_of_several_answers_counts() -> None:
    assert collected(DELTA, output(1), output(9, index=1), output(2, finished=True)).tokens == [1, 2]


@pytest.mark.parametrize("kind", [DELTA, FINAL])
def test_a_long_answer_is_cut(kind: RequestOutputKind) -> None:
    long = output(*range(LONGEST + 5))
    assert collected(kind, long, *([output(7)] if kind is DELTA else [])).tokens == [*range(LONGEST)]


def test_an_answer_that_breaks_off_is_not_finished() -> None:
    assert not collected(DELTA, output(1)).finished
