"""What the evaluation makes of a server's answers: it takes none that it did not ask for."""

from types import SimpleNamespace
from typing import Any

import pytest

from evaluation.asking import read, request
from evaluation.cell import DOWNSAMPLE, UNPRUNED, Cell
from evaluation.failure import EvaluationError
from evaluation.sample import load_samples

PRUNED = Cell("gprune", 0.5)


def completion(visual_tokens: dict[str, Any] | None) -> SimpleNamespace:
    """An answer as the client gives it."""
    usage = SimpleNamespace(prompt_tokens=100, **({"visual_tokens": visual_tokens} if visual_tokens else {}))
    return SimpleNamespace(usage=usage, choices=[SimpleNamespace(message=SimpleNamespace(content="yes"))])


def test_an_answer_says_what_was_kept() -> None:
    answered = completion({"method": "gprune", "prune_ratio": 0.5, "kept": 40})
    assert read(answered, PRUNED) == {"text": "yes", "prompt_tokens": 100, "visual_tokens": 40}
    default = completion({"method": "divprune", "prune_ratio": 0.0, "kept": 80})
    assert read(default, Cell(UNPRUNED, 0.0))["visual_tokens"] == 80
    assert read(default, Cell(DOWNSAMPLE, 0.5))["visual_tokens"] == 80


@pytest.mark.parametrize(
    ("visual_tokens", "message"),
    [
        ({"method": "random", "prune_ratio": 0.5, "kept": 40}, "pruned otherwise"),
        ({"method": "gprune", "prune_ratio": 0.4, "kept": 40}, "pruned otherwise"),
        (None, "is it gprune-serve that answers"),
    ],
)
def test_an_answer_to_something_else_is_an_error(visual_tokens: dict[str, Any] | None, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        read(completion(visual_tokens), PRUNED)


def test_a_request_says_how_to_prune() -> None:
    sample = load_samples(1)[0]
    assert request("model", PRUNED, sample)["extra_body"] == {"prune_ratio": 0.5, "prune_method": "gprune"}
    for unpruned in (Cell(UNPRUNED, 0.0), Cell(DOWNSAMPLE, 0.5)):
        assert request("model", unpruned, sample)["extra_body"] == {"prune_ratio": 0.0}
    assert sample.question in str(request("model", PRUNED, sample)["messages"])
