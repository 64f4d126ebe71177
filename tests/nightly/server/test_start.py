"""A server that is told to stop while it starts is gone, at whatever moment, with all its processes."""

import signal
from pathlib import Path

import pytest

from tests.support.starting import ROADS, TOLD, stop_at

MOMENTS = [
    "",  # at once
    "non-default args",
    "Enabled custom fusions",
    "Initializing a V1 LLM engine",
    "Starting to load model",
    "Loading weights took",
    "Supported tasks",
    "Starting vLLM server on",
]
"""Words of vLLM's log, in the order of a start."""


@pytest.mark.parametrize("whole_group", [False, True], ids=["leader", "group"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("road", ROADS)
def test_a_server_stops_at_every_moment_of_its_start(
    road: str, moment: str, number: signal.Signals, whole_group: bool, tmp_path: Path
) -> None:
    status, left = stop_at(moment, road, number, tmp_path, whole_group)
    assert status in TOLD
    assert not left
