"""What ends a load test."""

import sys
from collections.abc import Callable

FAULTY, UNUSABLE, INTERRUPTED = 1, 2, 130


class LoadTestError(Exception):
    """Something that the user has to know and can mend. Its message is all that is shown."""


def status_of(command: Callable[[], bool]) -> int:
    """Run a command that tells whether all was well; return the exit status."""
    try:
        return 0 if command() else FAULTY
    except LoadTestError as error:
        print(f"error: {error}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        print("interrupted; the cells that were measured are written", file=sys.stderr)
        return INTERRUPTED
