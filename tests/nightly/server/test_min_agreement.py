"""A default that answers badly is found out by its own answers, and the server prunes less."""

from collections.abc import Iterator

import pytest

from evaluation.sample import Sample, load_samples
from tests.support.pool import DEMO_MODEL
from tests.support.questions import ask
from tests.support.servers import ONE_PROCESS, Recipe, Server, serve

MOST = 200
"""Requests within which a bad default must be lowered."""
BAD = Recipe(
    (
        *(*ONE_PROCESS, "--default-prune-ratio", "0.9", "--prune-method", "random"),
        *("--prune-shadow-fraction", "1", "--min-agreement", "0.9"),
    )
)
LIMIT = "gprune_agreement_prune_ratio"


@pytest.fixture(scope="module")
def bad_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The demo model, pruned at random by 90 % unless a request says otherwise; all answers are judged."""
    with serve(DEMO_MODEL, tmp_path_factory.mktemp("bad") / "server.log", recipe=BAD) as server:
        yield server


def test_random_at_90_percent_is_found_out_within_200_requests(bad_server: Server) -> None:
    samples = [each for each in load_samples(MOST) if each.task == "reading"][:MOST]
    assert bad_server.metrics()[LIMIT] == 0.9
    asked = _ask_until_lowered(bad_server, samples)
    assert bad_server.metrics()[LIMIT] < 0.9, asked
    print(f"{asked} requests, agreement {_agreement(bad_server):.2f}")
    pruned = ask(bad_server, [samples[0].picture.image], question=samples[0].question, max_tokens=8).visual_tokens
    assert pruned is not None
    assert (pruned["prune_ratio"] < 0.9, pruned["source"]) == (True, "adaptive")
    named = ask(bad_server, [samples[0].picture.image], 0.9, samples[0].question, 8).visual_tokens
    assert named is not None
    assert named["prune_ratio"] == 0.9, "an explicit ratio is honoured"


def _ask_until_lowered(server: Server, samples: list[Sample]) -> int:
    """Ask one by one, as each API server judges one answer at a time; return how many were asked."""
    for number, sample in enumerate(samples, start=1):
        ask(server, [sample.picture.image], question=sample.question, max_tokens=8, ignore_eos=False)
        if server.metrics()[LIMIT] < 0.9:
            return number
    return len(samples)


def _agreement(server: Server) -> float:
    return server.total("gprune_shadow_agreement_sum") / server.total("gprune_shadow_agreement_count")
