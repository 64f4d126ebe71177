"""Which tests run one after the other in one process: those of one server, of engines, or of one file."""

import pytest

from tests.support import pool

SERVERS = {
    "server": pool.DEFAULT,
    "stock_server": pool.DEFAULT,  # most of its tests have both
    "demo_server": pool.DEMO,
    "qwen_demo_server": pool.QWEN_DEMO,
    "guarded_server": pool.GUARDED,
    "limited_server": pool.LIMITED,
    "small_server": pool.SMALL,
}
"""Groups by the fixtures of shared servers."""
ENGINES = "engines"
"""The group of tests with an engine in their own process."""
FIRST = (pool.DEFAULT, pool.DEMO, ENGINES)
"""Groups that take longest."""


def group_of(item: pytest.Item) -> str:
    """The group of a test: its mark's, its server's, or its file."""
    if (mark := item.get_closest_marker("xdist_group")) is not None:
        return str(mark.args[0])
    if (mark := item.get_closest_marker("ends")) is not None:
        return str(mark.args[0])
    used = [name for fixture, name in SERVERS.items() if fixture in getattr(item, "fixturenames", ())]
    return used[0] if used else item.nodeid.partition("::")[0]


def place_of(item: pytest.Item) -> tuple[int, int, str, bool]:
    """Where a test comes in the order: long groups first, unit tests last, and in a group what ends its server."""
    group = group_of(item)
    rank = FIRST.index(group) if group in FIRST else len(FIRST)
    return rank, item.nodeid.startswith("tests/unit"), group, item.get_closest_marker("ends") is not None
