"""Under load, requests that name no ratio are pruned more, and whole again afterwards."""

from concurrent.futures import ThreadPoolExecutor

from tests.support import photos
from tests.support.questions import ask
from tests.support.servers import Server
from tests.support.waiting import wait_until

CROWD = 6  # two are computed at once; with two more requests as many as the server takes
GAUGE = "gprune_adaptive_prune_ratio"
COUNTER = 'gprune_requests_total{method="gprune",source="%s"}'


def test_the_ratio_rises_under_load_and_falls_after_it(small_server: Server) -> None:
    wait_until(lambda: small_server.metrics()[GAUGE] == 0)
    before = counts(small_server)
    pictures = [photos.generated(300, 200, seed) for seed in range(CROWD + 4)]
    idle = ask(small_server, [pictures[-1]], max_tokens=1).visual_tokens
    assert idle is not None
    assert (idle["prune_ratio"], idle["kept"], idle["source"]) == (0, idle["input"], "adaptive")

    with ThreadPoolExecutor(CROWD + 2) as crowd:
        waiting = [crowd.submit(ask, small_server, [picture], max_tokens=400) for picture in pictures[:CROWD]]
        wait_until(lambda: small_server.metrics()[GAUGE] == 0.6)  # the limit of requests is that of the policy
        amid = crowd.submit(ask, small_server, [pictures[-2]], max_tokens=1)
        explicit = crowd.submit(ask, small_server, [pictures[-3]], 0.2, max_tokens=1)
        pruned, named = amid.result().visual_tokens, explicit.result().visual_tokens
        assert pruned is not None
        assert (pruned["prune_ratio"], pruned["source"]) == (0.6, "adaptive")
        assert pruned["kept"] < pruned["input"] / 2
        assert named is not None
        assert named["prune_ratio"] == 0.2
        assert "source" not in named
        assert all(future.result().visual_tokens for future in waiting)

    wait_until(lambda: small_server.metrics()[GAUGE] == 0)
    assert ask(small_server, [pictures[-4]], max_tokens=1).visual_tokens == idle
    assert [after - start for after, start in zip(counts(small_server), before, strict=True)] == [CROWD + 3, 1]


def counts(server: Server) -> list[float]:
    """Requests whose ratio the policy chose, and those that named one."""
    return [server.metrics().get(COUNTER % source, 0) for source in ("adaptive", "request")]


def test_the_operators_settings_hold_without_load(small_server: Server) -> None:
    wait_until(lambda: small_server.metrics()[GAUGE] == 0)
    several = [photos.generated(200, 150, seed) for seed in (90, 91)]
    assert ask(small_server, several, max_tokens=4).token_ids == ask(small_server, several, 0, max_tokens=4).token_ids
