"""Whoever else is being answered, each request gets what it would get alone: the same tokens, equally probable.

Log-probabilities may differ by what rounding costs. The last bits of matrix products depend on what else is in the
batch, and vLLM has no batch-invariant mode for CPUs. On some processors one thread gives the same bits, on others not.
"""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support import photos
from tests.support.families.llava_next import LlavaNextOracle
from tests.support.questions import QUESTION, Answer, ask
from tests.support.servers import Server

CLIENTS = 16
MAX_TOKENS = 6
PICTURES = {
    "one": photos.generated(240, 160),
    "another of its size": photos.generated(240, 160, seed=1),
    "tall": photos.generated(100, 300),
    "no grid at all": photos.generated(300, 10),
    "a pixel wide": photos.generated(1, 60),
}
KINDS: Sequence[dict[str, Any]] = (
    {},
    *({"prune_ratio": ratio} for ratio in (0.0, 0.3, 0.5, 0.9)),
    *({"visual_token_budget": budget} for budget in (1, 40, 10**6)),
    *({"prune_ratio": 0.7, "prune_method": method} for method in ("divprune", "l2norm", "random", "tome", "visionzip")),
    {"visual_token_budget": 90, "prune_method": "visionzip"},
)
# The longer ones begin with whole blocks of the prefix cache that are the same.
LONG = "Tell me all there is to see, from left to right and from top to bottom. " * 8
QUESTIONS = (QUESTION, f"{LONG} Leave nothing out!", f"{LONG} Be brief!")


@dataclass(frozen=True, slots=True)
class Case:
    """A question about pictures by their names, and the number of its kind."""

    pictures: tuple[str, ...]
    kind: int
    question: str


def cases() -> list[Case]:
    """Every picture in every kind; pairs of pictures, text alone, and the same beginning in front of other ends."""
    source = random.Random(0)
    kinds = range(len(KINDS))
    return [
        *(Case((name,), kind, source.choice(QUESTIONS)) for name in PICTURES for kind in kinds),
        *(Case(tuple(source.sample([*PICTURES], 2)), kind, source.choice(QUESTIONS)) for kind in kinds),
        *(Case((), 0, question) for question in QUESTIONS),
        *(Case(("one",), kind, question) for kind in (0, 3, 11) for question in QUESTIONS),
    ]


def answer(server: Server, case: Case, salt: str | None = None) -> Answer:
    """Ask; with a salt of its own, a request shares nothing in the prefix cache."""
    fields = KINDS[case.kind] | ({"cache_salt": salt} if salt else {})
    ratio = fields.pop("prune_ratio", None)
    return ask(
        server, [PICTURES[name] for name in case.pictures], ratio, case.question, max_tokens=MAX_TOKENS, **fields
    )


@pytest.fixture(scope="module")
def noise(checkpoint: Path) -> float:
    """Nats by which float32 answers may differ that were summed in different orders.

    An answer in float32 is off by at most some error from the exact one, whatever the order, so that two differ by at
    most twice that. How large it is, answers in float64 tell.
    """
    single, double = LlavaNextOracle(checkpoint), LlavaNextOracle(checkpoint, torch.float64)
    errors: list[float] = []
    for picture in PICTURES.values():
        for question in QUESTIONS:
            rounded, exact = (
                oracle.generate([picture], oracle.chat(picture, question), 0.0, max_new_tokens=MAX_TOKENS)
                for oracle in (single, double)
            )
            errors += [abs(left - right) for (_, left), (_, right) in zip(rounded, exact, strict=True)]
    return 2 * max(errors)


@pytest.fixture(scope="module")
def alone(server: Server) -> dict[Case, Answer]:
    """What each case is answered with nothing beside it and no prefix to share."""
    distinct = list(dict.fromkeys(cases()))
    answers = {case: answer(server, case, f"alone {place}") for place, case in enumerate(distinct)}
    assert {reply.cached_tokens for reply in answers.values()} == {0}
    return answers


@pytest.mark.parametrize("requests", [300, pytest.param(5000, marks=pytest.mark.nightly)])
def test_each_request_of_a_crowd_gets_what_it_would_get_alone(
    server: Server, alone: dict[Case, Answer], noise: float, requests: int
) -> None:
    source = random.Random(1)
    crowd = [(case, source.random() < 0.3) for case in source.choices([*alone], k=requests)]

    def ask_one(place: int) -> Answer:
        case, salted = crowd[place]
        return answer(server, case, f"crowd {requests} {place}" if salted else None)

    with ThreadPoolExecutor(CLIENTS) as clients:
        replies = list(clients.map(ask_one, range(requests)))
    others = [
        (case, reply) for (case, _), reply in zip(crowd, replies, strict=True) if not equal(reply, alone[case], noise)
    ]
    assert others == []
    assert sum(reply.cached_tokens > 0 for reply in replies) > requests / 20


def equal(left: Answer, right: Answer, noise: float) -> bool:
    """Whether two answers are the same, wherever their prefixes came from, but for rounding."""
    exact = all(getattr(left, part) == getattr(right, part) for part in ("token_ids", "prompt_tokens", "visual_tokens"))
    return exact and all(abs(a - b) <= noise for a, b in zip(left.logprobs, right.logprobs, strict=True))


def test_answers_differ_by_more_than_rounding(alone: dict[Case, Answer], noise: float) -> None:
    """Else a request that got another's answer would go unnoticed."""
    replies = list(alone.values())
    alike = [
        first for place, first in enumerate(replies) if any(equal(first, other, noise) for other in replies[:place])
    ]
    assert len(alike) < len(replies) / 5
