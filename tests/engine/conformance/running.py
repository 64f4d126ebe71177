"""The servers that vLLM's tests are given: one at a time, since each takes gigabytes."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from gprune_server.launch import LaunchedServer, LaunchError, launch


class RunningServer:
    """A server that starts in the background, and goes when another is asked for.

    Args:
        commands: how servers are started, by name.
        folder: where their logs go.
    """

    def __init__(self, commands: Mapping[str, Sequence[str]], folder: Path) -> None:
        self._commands, self._folder = commands, folder
        self._background = ThreadPoolExecutor(1)
        self._name = ""
        self._start: Future[LaunchedServer] | None = None

    def rank(self, name: str) -> int:
        """The place of a server among all of them, that each needs to be started but once."""
        return ["", *self._commands].index(name)

    def begin(self, name: str) -> None:
        """Start the server of this name in place of any other; without a name, leave what there is."""
        if name in ("", self._name):
            return
        self.stop()
        self._name = name
        self._start = self._background.submit(launch, self._commands[name], self._folder / f"{name}.log")

    def use(self, name: str) -> None:
        """Have the server of this name running; without a name, whichever is.

        Raises:
            LaunchError: it does not start.
        """
        self.begin(name)
        if name and self._start is not None:
            self._start.result()

    @property
    def port(self) -> int:
        """Where the server listens that is running."""
        assert self._start is not None
        return urlsplit(self._start.result().url).port or 0

    def stop(self) -> None:
        """End the server, if there is one."""
        if self._start is not None:
            with suppress(LaunchError):
                self._start.result().stop()
        self._name, self._start = "", None
