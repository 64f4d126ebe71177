"""Memory of real processes."""

import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from evaluation.failure import EvaluationError
from evaluation.server import free_port
from loadtest.soak.memory import Memory, process_at

GROW = """
import http.server, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.BaseHTTPRequestHandler)
print("ready", flush=True)
input()
held = b"x" * 50_000_000
print("grown", flush=True)
input()
"""


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def growing(port: int) -> Iterator[subprocess.Popen[str]]:
    """A process that listens, has a child, and takes 50 MB when told to."""
    command = [sys.executable, "-c", GROW, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_growth_and_end_of_processes_are_seen(growing: subprocess.Popen[str], port: int) -> None:
    assert growing.stdin is not None
    assert growing.stdout is not None
    found = process_at(f"http://127.0.0.1:{port}")
    assert found.pid == growing.pid
    memory = Memory(found)
    memory.sample(0)
    growing.stdin.write("\n")
    growing.stdin.flush()
    assert growing.stdout.readline() == "grown\n"
    memory.sample(1)
    listening, child = memory.curves
    assert 49 < listening.megabytes[1] - listening.megabytes[0] < 60
    assert abs(child.megabytes[1] - child.megabytes[0]) < 5
    end(psutil.Process(growing.pid))
    growing.wait()
    memory.sample(2)
    assert [curve.ended for curve in memory.curves] == [True, True]
    assert listening.seconds == [0, 1]


def end(process: psutil.Process) -> None:
    """Kill a process and those it started."""
    family = [*process.children(), process]
    for member in family:
        member.kill()
    psutil.wait_procs(family[:-1], timeout=10)


def test_where_nothing_listens_there_is_nothing_to_watch(port: int) -> None:
    with pytest.raises(EvaluationError, match="--pid"):
        process_at(f"http://127.0.0.1:{port}")
