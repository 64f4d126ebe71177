"""End a server that is told to stop while it starts.

vLLM 0.32 turns SIGTERM during the start into a `KeyboardInterrupt`, and `zmq_socket_ctx`, in which it waits for the
engine, swallows that: the server starts on, or waits for ever for an engine that it no longer talks to. At Ctrl-C it
waits for the engine first. There is nothing to finish before the start ends, so nothing is lost by an exit at once.
"""

import multiprocessing
import os
import signal
from contextlib import suppress
from types import FrameType

import psutil

VLLM_LAUNCHER = "vllm.entrypoints.launchers.api_server.entry"
"""Module of vLLM's own handler during the start (vLLM 0.32 and 0.33)."""


def exit_at_signals() -> None:
    """Have SIGTERM and SIGINT end this process and its children until vLLM replaces the handlers, ready to serve."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)


def exit_while_starting() -> None:
    """Replace vLLM's handler of the start. Does nothing in processes without it, such as an engine's or a script's."""
    if getattr(signal.getsignal(signal.SIGTERM), "__module__", None) == VLLM_LAUNCHER:
        exit_at_signals()


def _exit(number: int, frame: FrameType | None) -> None:
    """Kill what was started, and exit as a process without a handler would be reported.

    An engine notes SIGTERM, and heeds it only once it has loaded the model. The resource tracker is spared: it removes
    the shared memory of those that were killed.
    """
    for child in multiprocessing.active_children():
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(child.pid)
            for each in (*process.children(recursive=True), process):
                with suppress(psutil.NoSuchProcess):
                    each.kill()
    os._exit(128 + number)
