"""Times that a worker measures and an API process exposes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from gprune_vllm.adapter import timing
from gprune_vllm.adapter.timing import SELECTION_SECONDS, SelectionTimer, SharedHistogram

Make = Callable[..., SharedHistogram]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes histograms in the test's own folder and closes their files."""
    with ExitStack() as stack:

        def make(*methods: str) -> SharedHistogram:
            histogram = SharedHistogram(tmp_path, methods or ("gprune",))
            stack.callback(histogram._values.close)
            return histogram

        yield make


def exposed(directory: Path, suffix: str, **labels: str) -> float | None:
    """A sample, as the process that serves `/metrics` reads it."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(directory))
    return registry.get_sample_value(SELECTION_SECONDS + suffix, {"method": "gprune", **labels})


def test_every_bucket_is_exposed_before_the_first_observation(tmp_path: Path, make: Make) -> None:
    make()
    assert exposed(tmp_path, "_count") == 0
    assert exposed(tmp_path, "_sum") == 0
    assert exposed(tmp_path, "_bucket", le="0.0001") == 0
    assert exposed(tmp_path, "_bucket", le="+Inf") == 0


def test_observations_are_counted_in_their_buckets(tmp_path: Path, make: Make) -> None:
    histogram = make()
    for seconds in (0.0005, 0.0006, 0.25, 100.0):
        histogram.observe("gprune", seconds)
    buckets = [exposed(tmp_path, "_bucket", le=bound) for bound in ("0.0002", "0.0005", "0.001", "0.5", "5.0", "+Inf")]
    assert buckets == [0, 1, 2, 3, 3, 4]
    assert exposed(tmp_path, "_count") == 4
    assert exposed(tmp_path, "_sum") == pytest.approx(100.2511)


def test_a_method_is_a_label(tmp_path: Path, make: Make) -> None:
    make("l2norm", "random").observe("l2norm", 1.0)
    assert exposed(tmp_path, "_count", method="l2norm") == 1
    assert exposed(tmp_path, "_count", method="random") == 0
    assert exposed(tmp_path, "_count") is None


def test_work_on_the_cpu_is_timed_by_the_clock(tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([10.0, 10.25])
    monkeypatch.setattr(timing, "perf_counter", lambda: next(ticks))
    with SelectionTimer(make()).time(torch.device("cpu"), "gprune"):
        pass
    assert exposed(tmp_path, "_sum") == 0.25


class Event:
    """A CUDA event whose completion the test decides."""

    complete = False

    def __init__(self, enable_timing: bool) -> None:
        self.recorded = False

    def record(self) -> None:
        self.recorded = True

    def query(self) -> bool:
        return self.recorded and Event.complete

    def elapsed_time(self, end: "Event") -> float:
        assert self.recorded
        assert end.query(), "waits for the device"
        return 250.0  # milliseconds


def test_work_on_a_gpu_is_read_once_it_is_complete(tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(Event, "complete", False)
    timer = SelectionTimer(make())
    for _ in range(3):
        with timer.time(torch.device("cuda"), "gprune"):
            pass
    assert exposed(tmp_path, "_count") == 0
    monkeypatch.setattr(Event, "complete", True)
    with timer.time(torch.device("cuda"), "gprune"):
        pass
    assert exposed(tmp_path, "_count") == 4
    assert exposed(tmp_path, "_sum") == 1.0
