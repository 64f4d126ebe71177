"""A server for the time of a measurement: `gprune-serve` in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from evaluation.failure import EvaluationError

HOST = "127.0.0.1"
START_LIMIT = 1800
"""Seconds until a server has to be healthy. A large model takes minutes to load and to compile."""
LOG_TAIL = 4000
"""Characters of a server's log that are shown when it fails."""


@contextmanager
def serving(
    arguments: Sequence[str],
    log: Path,
    settings: Mapping[str, str] | None = None,
    server: Sequence[str] = ("-m", "server.serve"),
) -> Iterator[str]:
    """Serve with the given arguments of `gprune-serve`, the model first, and `settings` in the environment beside what
    is there; yield the server's URL, and stop it after. Another server that takes such arguments may be named.

    Raises:
        EvaluationError: the server does not start; the message has the end of its log.
    """
    port = free_port()
    address = ["--host", HOST, "--port", str(port)]
    command = [sys.executable, *server, *arguments, *address, *processor_arguments()]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment() | dict(settings or {}),
            start_new_session=True,
        )
    url = f"http://{HOST}:{port}"
    try:
        wait_until_healthy(process, url, log)
        yield url
    finally:
        stop(process)


def has_gpu() -> bool:
    """Whether a GPU is at hand."""
    import torch

    return torch.cuda.is_available()


def processor_arguments() -> list[str]:
    """Without a GPU nothing is compiled: on the models that a CPU can serve that takes longer than it saves."""
    return [] if has_gpu() else ["--enforce-eager"]


def environment() -> dict[str, str]:
    """This process's environment without settings that would reach the server unseen."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GPRUNE_")}
    return {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", **own}


def wait_until_healthy(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Raises:
    EvaluationError: the server stopped, or is not healthy in time.
    """
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise EvaluationError(f"the server stopped; its log {log} ends with\n{tail(log)}")
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/health", timeout=5).status_code == httpx.codes.OK:
                return
        time.sleep(0.5)
    raise EvaluationError(f"the server is not healthy after {START_LIMIT} s; its log {log} ends with\n{tail(log)}")


def tail(log: Path) -> str:
    """The end of a log."""
    return log.read_text(errors="replace")[-LOG_TAIL:]


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server and all it started, gently first."""
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=30)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
