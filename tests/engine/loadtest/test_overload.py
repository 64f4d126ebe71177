"""A server goes through the burst of the overload proof."""

from pathlib import Path

import pytest

from loadtest.overload import ask, parser
from loadtest.target import reach
from tests.support.servers import API_KEY, Server


async def test_a_server_goes_through_the_burst(server: Server, tmp_path: Path) -> None:
    words = ("--requests", "6", "--probes", "2", "--size", "112x112", "--max-tokens", "2", "--output", str(tmp_path))
    load, course = await ask(reach(server.url, API_KEY), parser().parse_args(words), None)
    assert load.rate == pytest.approx(1.4 * load.capacity)
    assert load.objective == pytest.approx(5 * load.alone)
    assert course.burst["completed"] == 6
    for result in (course.burst, course.after):
        assert result["visual_tokens_kept"] == result["visual_tokens_input"]
    assert course.recovery is not None
    assert {look.ratio for look in course.looks} == {0}
