"""What makes a soak fail, on curves and counts made up for the purpose."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from loadtest.soak.memory import Curve
from loadtest.soak.request import FAULTS
from loadtest.soak.verdict import Record, faults, growths

SECONDS, ALLOWED = 1000.0, 20.0


def curve(megabytes: Callable[[float], float], begin: float = 0, end: float = SECONDS, ended: bool = False) -> Curve:
    """A process with this much memory after so many seconds."""
    times = [float(second) for second in range(round(begin), round(end), 5)]
    return Curve("engine 7", times, [megabytes(second) for second in times], ended)


def record(*curves: Curve, **changes: Any) -> Record:
    """A soak in which all went well, but for the changes."""
    endings = Counter({("chat", "answered"): 90, ("invalid", "refused"): 9, ("chat", "aborted"): 1})
    return Record(**{"seconds": SECONDS, "endings": endings, "probes": 9, "curves": list(curves or [FLAT])} | changes)


FLAT = curve(lambda second: 1000)
CURVES: dict[str, tuple[Curve, bool]] = {
    "flat": (FLAT, True),
    "filling its caches at first": (curve(lambda second: min(3000, 1000 + 10 * second)), True),
    "noisy": (curve(lambda second: 1000 + 300 * (second % 50 == 0)), True),
    "at the bound": (curve(lambda second: 1000 + 40 * (second >= 750)), True),
    "above the bound": (curve(lambda second: 1000 + 41 * (second >= 750)), False),
    "leaking": (curve(lambda second: 1000 + second / 5), False),
    "small and leaking": (curve(lambda second: 10 + second / 20), False),
    "shrinking": (curve(lambda second: 1000 - second / 5), True),
}


def test_a_soak_in_which_all_went_well_has_no_faults() -> None:
    assert faults(record(), ALLOWED) == []


@pytest.mark.parametrize("name", CURVES)
def test_memory_is_flat_within_the_bound(name: str) -> None:
    memory, flat = CURVES[name]
    (growth,) = growths([memory], SECONDS, ALLOWED)
    assert growth.flat == flat
    assert any("grew from" in fault for fault in faults(record(memory), ALLOWED)) != flat


def test_one_process_that_grows_is_found_among_others() -> None:
    assert len(faults(record(FLAT, CURVES["leaking"][0], FLAT), ALLOWED)) == 1


@pytest.mark.parametrize(
    ("curves", "told"),
    [
        ([], "no process was there long enough"),
        ([curve(lambda second: 1000, end=200)], "no process was there long enough"),
        ([FLAT, curve(lambda second: 1000, end=600, ended=True)], "engine 7 ended"),
        ([FLAT, curve(lambda second: 1000, begin=400)], None),
        ([FLAT, curve(lambda second: 1000, begin=300, end=320, ended=True)], None),
    ],
)
def test_processes_that_come_and_go(curves: list[Curve], told: str | None) -> None:
    found = faults(record(curves=curves), ALLOWED)
    assert [fault[: len(told or "")] for fault in found] == ([told] if told else [])


@pytest.mark.parametrize("ending", FAULTS)
def test_one_request_that_ends_wrong_is_a_fault(ending: str) -> None:
    endings = record().endings + Counter({("chat", ending): 1})
    assert [fault.split()[0] for fault in faults(record(endings=endings), ALLOWED)] == ["1"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"drifts": ["after 5 s: token ids"]}, "answer changed"),
        ({"left_behind": ["after 5 s: vllm:num_requests_running"]}, "idle server was busy"),
        ({"probes": 1}, "not answered twice"),
        ({"interrupted": True}, "interrupted"),
        ({"endings": Counter({("invalid", "refused"): 9})}, "no request was answered"),
        ({"endings": Counter({("chat", "answered"): 9})}, "no request was refused"),
    ],
)
def test_whatever_else_is_wrong_is_told(changes: dict[str, Any], told: str) -> None:
    (fault,) = faults(record(**changes), ALLOWED)
    assert told in fault
