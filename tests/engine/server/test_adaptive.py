"""Under load, requests that name no ratio are pruned more, and whole again afterwards."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import photos
from tests.support.questions import ask
from tests.support.servers import Server, serve

CROWD = 12
HANG = 120  # seconds after which something hangs; no measure of speed
GAUGE = "gprune_adaptive_prune_ratio"
COUNTER = 'gprune_requests_total{method="gprune",source="%s"}'


@pytest.fixture(scope="module")
def adaptive_server(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that computes one request at a time, and whose queue is full with two."""
    log = tmp_path_factory.mktemp("adaptive") / "server.log"
    policy = ("--prune-policy", "adaptive", "--adaptive-max-ratio", "0.8", "--adaptive-waiting-requests", "2")
    with serve(checkpoint, log, *policy, "--max-prune-ratio", "0.6", "--max-num-seqs", "1") as running:
        yield running


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_ratio_rises_under_load_and_falls_after_it(adaptive_server: Server) -> None:
    pictures = [photos.generated(300, 200, seed) for seed in range(CROWD + 4)]
    idle = ask(adaptive_server, [pictures[-1]], max_tokens=1).visual_tokens
    assert idle is not None
    assert (idle["prune_ratio"], idle["kept"], idle["source"]) == (0, idle["input"], "adaptive")

    with ThreadPoolExecutor(CROWD + 2) as crowd:
        waiting = [crowd.submit(ask, adaptive_server, [picture], max_tokens=200) for picture in pictures[:CROWD]]
        wait_for(lambda: adaptive_server.metrics()[GAUGE] == 0.6)  # the limit of requests is that of the policy
        amid = crowd.submit(ask, adaptive_server, [pictures[-2]], max_tokens=1)
        explicit = crowd.submit(ask, adaptive_server, [pictures[-3]], 0.2, max_tokens=1)
        pruned, named = amid.result().visual_tokens, explicit.result().visual_tokens
        assert pruned is not None
        assert (pruned["prune_ratio"], pruned["source"]) == (0.6, "adaptive")
        assert pruned["kept"] < pruned["input"] / 2
        assert named is not None
        assert named["prune_ratio"] == 0.2
        assert "source" not in named
        assert all(future.result().visual_tokens for future in waiting)

    wait_for(lambda: adaptive_server.metrics()[GAUGE] == 0)
    assert ask(adaptive_server, [pictures[-4]], max_tokens=1).visual_tokens == idle
    counts = [adaptive_server.metrics()[COUNTER % source] for source in ("adaptive", "request")]
    assert counts == [CROWD + 3, 1]


def test_the_operators_settings_hold_without_load(adaptive_server: Server) -> None:
    wait_for(lambda: adaptive_server.metrics()[GAUGE] == 0)
    several = [photos.generated(200, 150, seed) for seed in (90, 91)]
    assert (
        ask(adaptive_server, several, max_tokens=4).token_ids
        == ask(adaptive_server, several, 0, max_tokens=4).token_ids
    )
