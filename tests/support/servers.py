"""Real servers for tests: started as an operator would start them, and stopped afterwards."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import httpx
import openai
import psutil

from gprune_server.launch import LaunchedServer, launch, spawn

START_LIMIT = 600  # seconds; a start takes about 40 on two idle cores
MODEL = "tiny"
API_KEY = "secret"
COMMON = ["--served-model-name", MODEL, "--enforce-eager", "--dtype", "float32", "--max-model-len", "2048"]
ONE_PROCESS = ("--distributed-executor-backend", "uni")
"""Have the engine compute in its own process, as on a single GPU, and not in one more that imports vLLM anew.

On a CPU vLLM takes it only with the variable of `server_environment`: it could bind no threads, of which there is one.
"""
GPRUNE_SERVE = [str(Path(sys.executable).parent / "gprune-serve")]
STOCK_SERVE = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model"]
STARTED: list[str] = []
"""Logs of the servers that this process started: the suite may start only so many (tests/conftest.py)."""


@dataclass(frozen=True, slots=True)
class Server(LaunchedServer):
    """A running server and the ways to talk to it."""

    client: openai.OpenAI
    http: httpx.Client

    @classmethod
    def of(cls, launched: LaunchedServer) -> Self:
        """A launched server with clients. Close it: open sockets fail whichever test runs when they are collected."""
        client = openai.OpenAI(base_url=f"{launched.url}/v1", api_key=API_KEY, max_retries=0, timeout=120)
        http = httpx.Client(base_url=launched.url, timeout=120)
        return cls(launched.url, launched.log, launched.process, client, http)

    def close(self) -> None:
        """Close the clients and end the server."""
        self.client.close()
        self.http.close()
        self.stop()

    def metrics(self) -> dict[str, float]:
        """Samples of `/metrics` by name and labels."""
        lines = self.http.get("/metrics").text.splitlines()
        pairs = [line.rsplit(" ", 1) for line in lines if line and not line.startswith("#")]
        return {name: float(value) for name, value in pairs}

    def total(self, name: str) -> float:
        """The sum of a metric's samples, whatever their labels."""
        return sum(value for sample, value in self.metrics().items() if sample.partition("{")[0] == name)

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.http.post(path, json=body, headers={"Authorization": f"Bearer {API_KEY}"})


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a server is started.

    Attributes:
        arguments: of the command, behind the model.
        command: the program, and its words in front of the model.
        environment: variables beside those of `server_environment`.
    """

    arguments: Sequence[str] = ()
    command: Sequence[str] = tuple(GPRUNE_SERVE)
    environment: Mapping[str, str] | None = None

    def start(self, model: Path, log: Path) -> Server:
        """Serve the model with its output in `log`; the caller closes the server."""
        STARTED.append(str(log))
        return Server.of(launch(self._command(model), log, server_environment(self.environment), START_LIMIT))

    def spawn(self, model: Path, log: Path) -> LaunchedServer:
        """Start to serve the model, like `start`, and do not wait until it can answer; the caller stops it."""
        return spawn(self._command(model), log, server_environment(self.environment))

    def _command(self, model: Path) -> list[str]:
        return [*self.command, str(model), *COMMON, *self.arguments]


@contextmanager
def serve(model: Path, log: Path, *arguments: str, recipe: Recipe = Recipe()) -> Iterator[Server]:
    """Serve the model for the time of a context, with further arguments than the recipe's."""
    server = replace(recipe, arguments=(*recipe.arguments, *arguments)).start(model, log)
    try:
        yield server
    finally:
        server.close()


def server_environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment, quiet and small, with `changes`.

    On a CPU vLLM would bind each worker to the same core, where those of several servers wait for one another, or to a
    NUMA node of its own, of which small machines have one.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith(("GPRUNE_", "VLLM_"))}
    quiet = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    quiet["GPRUNE_PRUNE_METHOD"] = "gprune"  # most tests compare with it; "" leaves the default
    quiet["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # of `LLM` only, and of what vLLM's CPU platform makes of ONE_PROCESS
    one_thread = {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    return own | quiet | one_thread | dict(changes or {})


def children(server: Server, name: str) -> list[psutil.Process]:
    """The processes of a server that have a name, such as `VLLM::EngineCore`."""
    return [child for child in psutil.Process(server.process.pid).children(recursive=True) if child.name() == name]
