"""Real servers for tests: started as an operator would, on the tiny checkpoint, and stopped afterwards."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai

START_LIMIT = 600  # seconds; a start takes about 40 on two idle cores
MODEL = "tiny"
API_KEY = "secret"
COMMON = ["--served-model-name", MODEL, "--enforce-eager", "--dtype", "float32", "--max-model-len", "2048"]
GPRUNE_SERVE = [str(Path(sys.executable).parent / "gprune-serve")]
STOCK_SERVE = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model"]


@dataclass(frozen=True, slots=True)
class Server:
    """A running server and the ways to talk to it."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]
    client: openai.OpenAI

    def metrics(self) -> dict[str, float]:
        """Samples of `/metrics` by name and labels."""
        lines = httpx.get(f"{self.url}/metrics", timeout=30).text.splitlines()
        pairs = [line.rsplit(" ", 1) for line in lines if line and not line.startswith("#")]
        return {name: float(value) for name, value in pairs}

    def total(self, name: str) -> float:
        """The sum of a metric's samples, whatever their labels."""
        return sum(value for sample, value in self.metrics().items() if sample.partition("{")[0] == name)

    def post(self, path: str, body: Any) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=body, headers={"Authorization": f"Bearer {API_KEY}"}, timeout=120)


@contextmanager
def serve(
    checkpoint: Path,
    log: Path,
    *arguments: str,
    command: Sequence[str] = GPRUNE_SERVE,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Start a server on a free port, wait until it is healthy, and stop it in the end."""
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, str(checkpoint), *COMMON, "--port", str(port), *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=server_environment(environment),
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        with client_of(url) as client:
            server = Server(url, log, process, client)
            wait_until_healthy(server)
            yield server
    finally:
        stop(process)


def client_of(url: str) -> openai.OpenAI:
    """A client of a server. Close it: sockets left open fail whichever test is running when they are collected."""
    return openai.OpenAI(base_url=f"{url}/v1", api_key=API_KEY, max_retries=0, timeout=120)


def server_environment(changes: Mapping[str, str] | None) -> dict[str, str]:
    """This process's environment, quiet and small, with `changes`.

    On a CPU vLLM would bind each worker to the same core, where those of several servers wait for one another, or to a
    NUMA node of its own, of which small machines have one. One thread computes the same bits whatever is in a batch.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith(("GPRUNE_", "VLLM_"))}
    quiet = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    one_thread = {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    return own | quiet | one_thread | dict(changes or {})


def wait_until_healthy(server: Server) -> None:
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise RuntimeError(f"the server stopped:\n{server.log.read_text()[-4000:]}")
        try:
            if httpx.get(f"{server.url}/health", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise TimeoutError(f"the server is not healthy after {START_LIMIT} s:\n{server.log.read_text()[-4000:]}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the server's whole process group, gently first."""
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=30)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
