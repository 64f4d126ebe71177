"""`python -m tests.engine.conformance [WORD ...]`: run vLLM's own tests, and write docs/conformance.md.

The words are servers, folders or files: with them, only those suites are run, and the rows of others stay as they are.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.engine.conformance.outcomes import problems, run
from tests.engine.conformance.selection import SELECTION
from tests.engine.conformance.table import write


def main(words: Sequence[str]) -> int:
    """Run, tell what is wrong, and write; 1 if something is wrong."""
    suites = [suite for suite in SELECTION if not words or {suite.server, *Path(suite.path).parts} & set(words)]
    with TemporaryDirectory() as folder:
        outcomes = run(suites, Path(folder), thorough=True)
    found = [f"{suite.path}: {problem}" for suite in suites for problem in problems(suite, outcomes)]
    print(*found, sep="\n\n")
    write(suites, outcomes)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
