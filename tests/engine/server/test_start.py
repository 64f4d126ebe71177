"""A server that is told to stop while it starts is gone, with all its processes."""

import signal
from pathlib import Path

from tests.support.starting import stop_at


def test_a_server_stops_while_its_engine_loads_the_model(tmp_path: Path) -> None:
    """As in a terminal or a service, where the signal reaches all processes. vLLM 0.32 alone starts on."""
    status, left = stop_at("Initializing a V1 LLM engine", "vllm-serve", signal.SIGTERM, tmp_path, whole_group=True)
    assert status == 128 + signal.SIGTERM
    assert not left
