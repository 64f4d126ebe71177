"""Whoever else is being answered, each request gets what it would get alone, to the last bit.

The engine has one thread: on several, the last bits of matrix products depend on what else is in the batch, and vLLM
has no batch-invariant mode for CPUs. `ISOLATION_REQUESTS=5000` asks for longer than the suite does.
"""

import os
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import photos
from tests.support.questions import QUESTION, Answer, ask
from tests.support.servers import API_KEY, Server, serve

REQUESTS = int(os.environ.get("ISOLATION_REQUESTS", "300"))
CLIENTS = 16
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
    return ask(server, [PICTURES[name] for name in case.pictures], ratio, case.question, max_tokens=6, **fields)


@pytest.fixture(scope="module")
def exact_server(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A float32 server with default caches that computes in one thread, and prefills in chunks."""
    with serve(
        checkpoint,
        tmp_path_factory.mktemp("exact") / "server.log",
        *("--max-num-batched-tokens", "128", "--max-num-seqs", str(CLIENTS)),
        *("--api-key", API_KEY, "--enable-prompt-tokens-details", "--prune-methods", "all"),
    ) as running:
        yield running


@pytest.fixture(scope="module")
def alone(exact_server: Server) -> dict[Case, Answer]:
    """What each case is answered with nothing beside it and no prefix to share."""
    distinct = list(dict.fromkeys(cases()))
    answers = {case: answer(exact_server, case, f"alone {place}") for place, case in enumerate(distinct)}
    assert {reply.cached_tokens for reply in answers.values()} == {0}
    return answers


def test_each_request_of_a_crowd_gets_what_it_would_get_alone(exact_server: Server, alone: dict[Case, Answer]) -> None:
    source = random.Random(1)
    crowd = [(case, source.random() < 0.3) for case in source.choices([*alone], k=REQUESTS)]

    def ask_one(place: int) -> Answer:
        case, salted = crowd[place]
        return answer(exact_server, case, f"crowd {place}" if salted else None)

    with ThreadPoolExecutor(CLIENTS) as clients:
        replies = list(clients.map(ask_one, range(REQUESTS)))
    others = [(case, reply) for (case, _), reply in zip(crowd, replies, strict=True) if not equal(reply, alone[case])]
    assert others == []
    assert sum(reply.cached_tokens > 0 for reply in replies) > REQUESTS / 20


def equal(left: Answer, right: Answer) -> bool:
    """Whether two answers are the same to the last bit, wherever their prefixes came from."""
    parts = ("token_ids", "logprobs", "prompt_tokens", "visual_tokens")
    return all(getattr(left, part) == getattr(right, part) for part in parts)


def test_cases_have_different_answers(alone: dict[Case, Answer]) -> None:
    answers = {reply.logprobs for reply in alone.values()}
    assert len(answers) > len(alone) * 0.8
