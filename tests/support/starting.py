"""A server that is told to stop while it starts."""

import os
import signal
from pathlib import Path

import psutil

from evaluation.demo import DEMO_MODEL
from tests.support.servers import GPRUNE_SERVE, ONE_PROCESS, START_LIMIT, STOCK_SERVE, Recipe
from tests.support.waiting import HANG, wait_until

ROADS = {
    "gprune-serve": Recipe(ONE_PROCESS, GPRUNE_SERVE),
    "vllm-serve": Recipe(ONE_PROCESS, STOCK_SERVE, {"VLLM_PLUGINS": "gprune"}),
}


def stop_at(moment: str, road: str, number: int, folder: Path, whole_group: bool) -> tuple[int, list[psutil.Process]]:
    """Send a signal once the log of a starting server has the words of `moment`.

    Returns:
        The exit status, and the server's processes that are left.
    """
    server = ROADS[road].spawn(DEMO_MODEL, folder / "log")
    try:
        wait_until(lambda: moment in server.log.read_text(errors="replace"), START_LIMIT)
        processes = psutil.Process(server.process.pid).children(recursive=True)
        (os.killpg if whole_group else os.kill)(server.process.pid, number)
        status = server.process.wait(HANG)
        return status, psutil.wait_procs(processes, HANG)[1]
    finally:
        server.stop()


TOLD = {128 + number for number in (signal.SIGTERM, signal.SIGINT)} | {-signal.SIGTERM, -signal.SIGINT}
"""Exit statuses of a process that a signal ended: by its own handler, or without one."""
