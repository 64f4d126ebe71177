"""What the processes of a server hold in memory, sampled over time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped]

from evaluation.failure import EvaluationError

MEGABYTE = 10**6


@dataclass(slots=True)
class Curve:
    """The resident memory of one process.

    Attributes:
        process: its name and id.
        seconds: when it was looked at.
        megabytes: what it had then.
        ended: whether it ended under way.
    """

    process: str
    seconds: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)
    ended: bool = False


class Memory:
    """Watches a process and all that it starts.

    Args:
        main: the server's process.
    """

    def __init__(self, main: psutil.Process) -> None:
        self._main = main
        self._curves: dict[psutil.Process, Curve] = {}

    def sample(self, seconds: float) -> None:
        """Look at every process now."""
        for process in self._known():
            curve = self._curves.setdefault(process, Curve(label(process)))
            try:
                used = process.memory_info().rss
            except psutil.NoSuchProcess:
                curve.ended = True
                continue
            curve.seconds.append(round(seconds, 1))
            curve.megabytes.append(round(used / MEGABYTE, 1))

    def _known(self) -> Sequence[psutil.Process]:
        try:
            there = [self._main, *self._main.children(recursive=True)]
        except psutil.NoSuchProcess:
            there = []
        return list(dict.fromkeys([*self._curves, *there]))

    @property
    def curves(self) -> list[Curve]:
        """What was seen."""
        return list(self._curves.values())


def label(process: psutil.Process) -> str:
    """What to call a process."""
    try:
        return f"{process.name()} {process.pid}"
    except psutil.NoSuchProcess:
        return str(process.pid)


def process_at(url: str) -> psutil.Process:
    """The process that listens at a URL.

    Raises:
        EvaluationError: none of this machine does.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            return psutil.Process(connection.pid)
    raise EvaluationError(
        f"no process that this user may see listens at {url}: run the soak where the server runs, or name its process "
        "with --pid"
    )
