"""After minutes or hours of mixed traffic nothing is lost, no answer has changed, and no memory has grown."""

import pytest

from tests.nightly.server.soak import Soak
from tests.support.servers import Server


async def test_traffic_leaves_no_trace(small_caches_server: Server, request: pytest.FixtureRequest) -> None:
    minutes = request.config.getoption("soak_minutes")
    soak = Soak(small_caches_server, minutes * 60)
    await soak.run()
    totals = {f"{kind} {ending}": count for (kind, ending), count in sorted(soak.endings.items())}
    print(f"\n{totals}\n{soak.memory.report()}")
    assert soak.faults == []
    endings = {ending for _, ending in soak.endings}
    assert endings == {"answered", "refused", "left"}
