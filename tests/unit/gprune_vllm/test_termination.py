"""A signal during the start ends a process and what it started."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from gprune_vllm import termination
from tests.support.waiting import HANG

PARENT = """
import multiprocessing, signal, sys, time
from gprune_vllm.termination import exit_at_signals

def deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)

exit_at_signals()
child = multiprocessing.get_context("fork").Process(target=deaf)
child.start()
print(child.pid, flush=True)
try:
    time.sleep(600)
except BaseException:  # as vLLM swallows KeyboardInterrupt
    time.sleep(600)
"""


@contextmanager
def starting() -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """A process that starts, and its child, which does not heed SIGTERM."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        yield parent, psutil.Process(int(parent.stdout.readline()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_and_its_children(number: signal.Signals) -> None:
    with starting() as (parent, child):
        parent.send_signal(number)
        assert parent.wait(HANG) == 128 + number
        assert not psutil.wait_procs([child], HANG)[1]


@pytest.fixture
def handlers() -> Iterator[None]:
    """Handlers of which none outlives the test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_only_vllms_handler_of_the_start_is_replaced() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    termination.exit_while_starting()
    assert signal.getsignal(signal.SIGTERM) is interrupt
    interrupt.__module__ = termination.VLLM_LAUNCHER
    termination.exit_while_starting()
    assert signal.getsignal(signal.SIGTERM) is signal.getsignal(signal.SIGINT) is not interrupt


def test_vllms_handler_of_the_start_is_where_it_is_looked_for() -> None:
    from importlib.util import find_spec

    spec = find_spec(termination.VLLM_LAUNCHER)
    assert spec is not None
    assert spec.origin is not None
    with open(spec.origin) as source:
        assert "signal.signal(signal.SIGTERM, " in source.read()
