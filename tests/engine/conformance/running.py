"""The servers that vLLM's tests are given: one at a time, since each takes gigabytes."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import httpx
from vllm.utils.network_utils import get_open_port

START_LIMIT = 600  # seconds; a start takes about 40 on two idle cores


class RunningServer:
    """A server that is started when it is first asked for, and goes when another is.

    Args:
        commands: how servers are started, by name.
        folder: where their logs go.
    """

    def __init__(self, commands: Mapping[str, Sequence[str]], folder: Path) -> None:
        self._commands, self._folder = commands, folder
        self._name = ""
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def rank(self, name: str) -> int:
        """The place of a server among all of them, that each needs to be started but once."""
        return ["", *self._commands].index(name)

    def use(self, name: str) -> None:
        """Have the server of this name running; without a name, whichever is.

        Raises:
            RuntimeError: it does not start.
        """
        if name in ("", self._name):
            return
        self.stop()
        self._name, self.port = name, get_open_port()
        with self._log.open("wb") as log:
            command = [*self._commands[name], "--port", str(self.port)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        self._wait(self._process)

    def stop(self) -> None:
        """End the server's whole process group, gently first."""
        if self._process is None:
            return
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._name, self._process = "", None

    @property
    def _log(self) -> Path:
        return self._folder / f"{self._name}.log"

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_LIMIT
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{self.port}/health", timeout=5).is_success:
                    return
            time.sleep(0.5)
        raise RuntimeError(f"the server does not start:\n{self._log.read_text()[-4000:]}")
