"""Servers as child processes: start one, wait until it is healthy, and stop it with all its processes."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

HOST = "127.0.0.1"
START_LIMIT = 1800
"""Seconds within which a server must become healthy. A large model takes minutes to load and compile."""
STOP_LIMIT = 30
"""Seconds between SIGTERM and SIGKILL."""
LOG_TAIL = 4000
"""Number of characters of the log in an error message."""


class LaunchError(RuntimeError):
    """The server stopped or did not become healthy in time. The message includes the end of its log."""


@dataclass(frozen=True, slots=True)
class LaunchedServer:
    """A running server.

    Attributes:
        url: the address, without a path.
        log: file with the output.
        process: the leader of the server's process group.
    """

    url: str
    log: Path
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """Stop the process group with SIGTERM, and after `STOP_LIMIT` with SIGKILL."""
        self.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=STOP_LIMIT)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def launched(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, start_limit: float = START_LIMIT
) -> Iterator[LaunchedServer]:
    """Run `command` with `--host` and a free `--port` until the context ends.

    Args:
        command: the program and its arguments.
        log: file for standard output and standard error.
        environment: the complete environment of the child; None inherits this process's.
        start_limit: seconds within which the server must become healthy.

    Raises:
        LaunchError: the server stopped or did not become healthy in time.
    """
    server = launch(command, log, environment, start_limit)
    try:
        yield server
    finally:
        server.stop()


def launch(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, start_limit: float = START_LIMIT
) -> LaunchedServer:
    """Start `command` like `launched`. The caller must stop the server.

    Raises:
        LaunchError: the server stopped or did not become healthy in time.
    """
    server = spawn(command, log, environment)
    try:
        wait_until_healthy(server, start_limit)
    except BaseException:
        server.stop()
        raise
    return server


def spawn(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> LaunchedServer:
    """Start `command` like `launched`, and do not wait for it. The caller must stop the server."""
    port = free_port()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--host", HOST, "--port", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    return LaunchedServer(f"http://{HOST}:{port}", log, process)


def wait_until_healthy(server: LaunchedServer, start_limit: float = START_LIMIT) -> None:
    """Wait until `/health` responds 200.

    Raises:
        LaunchError: the server stopped or did not become healthy in time.
    """
    deadline = time.monotonic() + start_limit
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise LaunchError(f"The server stopped. Its log {server.log} ends with:\n{tail(server.log)}")
        with suppress(httpx.TransportError):
            if httpx.get(f"{server.url}/health", timeout=5).status_code == httpx.codes.OK:
                return
        time.sleep(0.2)
    raise LaunchError(
        f"The server is not healthy after {start_limit:.0f} s. Its log {server.log} ends with:\n{tail(server.log)}"
    )


def tail(log: Path) -> str:
    return log.read_text(errors="replace")[-LOG_TAIL:]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
