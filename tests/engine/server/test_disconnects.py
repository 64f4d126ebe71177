"""Clients that leave, whenever they do, leave no request behind. In the nightly tests a thousand do."""

from tests.support import photos
from tests.support.fuzzing.leaving import leave_all, wait_until_idle
from tests.support.questions import ask, same
from tests.support.servers import Server

LEAVING = 24


def test_clients_that_leave_leave_nothing_behind(server: Server) -> None:
    before = ask(server, [photos.china()], 0.5, cache_salt="before they leave")
    answered = server.total("gprune_e2e_request_latency_seconds_count")
    begun = server.total("gprune_requests_total")
    leave_all(server, range(LEAVING))
    wait_until_idle(server)
    assert server.total("vllm:kv_cache_usage_perc") == 0
    assert server.total("gprune_e2e_request_latency_seconds_count") == answered
    assert LEAVING / 2 <= server.total("gprune_requests_total") - begun <= LEAVING * 3 / 4
    assert same(ask(server, [photos.china()], 0.5, cache_salt="after they left"), before)
