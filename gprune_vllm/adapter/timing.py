"""Time that selecting tokens takes, measured in the worker without waiting for its device."""

import atexit
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from time import perf_counter
from weakref import finalize

import torch
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.utils import floatToGoString

SELECTION_SECONDS = "gprune_selection_seconds"
_HELP = "Time the worker spends scoring and selecting the visual tokens of one image."
_BUCKETS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

_OWN_DIRECTORY = "GPRUNE_METRICS_DIRECTORY"


def metrics_directory() -> Path | None:
    """Return the folder in which workers write metrics for the API process: prometheus-client's, or else our own.

    It is passed in the environment, which workers inherit. Were it in vLLM's configuration, each start would have
    another key for the compilation cache.
    """
    directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR") or os.environ.get(_OWN_DIRECTORY)
    return Path(directory) if directory else None


def create_metrics_directory() -> None:
    """Make the folder that `metrics_directory` names in this process and those it starts, if there is none."""
    if metrics_directory() is None:
        os.environ[_OWN_DIRECTORY] = directory = mkdtemp(prefix="gprune-metrics-")
        atexit.register(rmtree, directory, ignore_errors=True)


class SharedHistogram:
    """A histogram that another process exposes: a file in prometheus-client's multi-process format.

    Args:
        directory: where an API process looks for it (see `prometheus_client.multiprocess`).
        methods: the values of its only label.
    """

    def __init__(self, directory: Path, methods: Sequence[str]) -> None:
        self._values = MmapedDict(str(directory / f"histogram_{os.getpid()}-selection.db"))
        finalize(self, self._values.close)
        for method in methods:  # every bucket is there before the first observation
            for key in (*(_bucket(method, bound) for bound in _bounds()), _sum(method)):
                self._values.read_value(key)

    def observe(self, method: str, value: float) -> None:
        """Count one observation, in seconds."""
        self._add(_bucket(method, next(bound for bound in _bounds() if value <= bound)), 1.0)
        self._add(_sum(method), value)

    def _add(self, key: str, amount: float) -> None:
        value, timestamp = self._values.read_value(key)
        self._values.write_value(key, value + amount, timestamp)


class SelectionTimer:
    """Times pieces of work on a device.

    On CUDA, events are recorded around the work and read when later work finds them complete, so that nothing waits.
    """

    def __init__(self, histogram: SharedHistogram) -> None:
        self._histogram = histogram
        self._pending: deque[tuple[str, torch.cuda.Event, torch.cuda.Event]] = deque()

    @contextmanager
    def time(self, device: torch.device, method: str) -> Iterator[None]:
        """Time the work done inside, by this method."""
        if device.type == "cuda":
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            yield
            end.record()
            self._pending.append((method, start, end))
            self._observe_complete()
        else:
            began = perf_counter()
            yield
            self._histogram.observe(method, perf_counter() - began)

    def _observe_complete(self) -> None:
        while self._pending and self._pending[0][2].query():
            method, start, end = self._pending.popleft()
            self._histogram.observe(method, start.elapsed_time(end) / 1000)


def _bucket(method: str, bound: float) -> str:
    return _key("_bucket", ["method", "le"], [method, _text(bound)])


def _sum(method: str) -> str:
    return _key("_sum", ["method"], [method])


def _bounds() -> Sequence[float]:
    return (*_BUCKETS, float("inf"))


def _text(bound: float) -> str:
    return str(floatToGoString(bound))


def _key(suffix: str, names: list[str], values: list[str]) -> str:
    return str(mmap_key(SELECTION_SECONDS, SELECTION_SECONDS + suffix, names, values, _HELP))
