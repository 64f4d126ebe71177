"""Wait for a condition."""

import time
from collections.abc import Callable

HANG = 120
"""Seconds after which something hangs. No measure of speed."""


def wait_until(condition: Callable[[], object], seconds: float = HANG) -> None:
    """Return when the condition holds.

    Raises:
        AssertionError: it does not hold in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.02)
