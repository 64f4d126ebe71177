"""Clients that leave, whenever they do, leave nothing behind: no request, no cache in use, no memory."""

from dataclasses import dataclass

import psutil
import pytest

from tests.support import photos
from tests.support.fuzzing.leaving import AT_ONCE, leave_all, wait_until_idle
from tests.support.questions import ask
from tests.support.servers import Server

WARM_UP = 48  # clients that leave before memory is measured
MEBIBYTE = 1024 * 1024
GROWTH = 64 * MEBIBYTE  # of all processes together


@dataclass(frozen=True)
class Footprint:
    """What a server's processes hold: bytes of memory that is theirs alone, and open files."""

    memory: int
    files: int

    @classmethod
    def of(cls, server: Server) -> "Footprint":
        parent = psutil.Process(server.process.pid)
        processes = [parent, *parent.children(recursive=True)]
        return cls(sum(each.memory_full_info().uss for each in processes), sum(each.num_fds() for each in processes))


def test_clients_that_leave_leave_nothing_behind(small_caches_server: Server, request: pytest.FixtureRequest) -> None:
    server, leaving = small_caches_server, request.config.getoption("disconnects")
    probes = [([photos.china()], 0.5), ([photos.flower(), photos.grace_hopper()], 0)]
    leave_all(server, range(WARM_UP))
    wait_until_idle(server)
    before = [ask(server, *probe, cache_salt="before") for probe in probes]
    answered = server.total("gprune_e2e_request_latency_seconds_count")
    begun = server.total("gprune_requests_total")
    footprint = Footprint.of(server)

    leave_all(server, range(WARM_UP, WARM_UP + leaving))

    wait_until_idle(server)
    assert server.total("vllm:kv_cache_usage_perc") == 0
    assert server.total("gprune_e2e_request_latency_seconds_count") == answered
    reached = server.total("gprune_requests_total") - begun
    assert leaving / 2 <= reached <= leaving * 3 / 4
    assert [ask(server, *probe, cache_salt="after") for probe in probes] == before

    after = Footprint.of(server)
    grown, opened = after.memory - footprint.memory, after.files - footprint.files
    print(f"\n{leaving} clients left, {reached:.0f} of them reached the engine")
    print(
        f"memory {footprint.memory / MEBIBYTE:.0f} MiB, {grown / MEBIBYTE:+.1f}; files {footprint.files}, {opened:+d}"
    )
    assert grown < GROWTH
    assert opened < AT_ONCE
