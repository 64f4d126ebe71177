"""The tables of docs/conformance.md."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.engine.conformance.outcomes import Outcome
from tests.engine.conformance.selection import SELECTION
from tests.engine.conformance.suite import REASONS, Suite

DOCUMENT = Path(__file__).parents[3] / "docs" / "conformance.md"
HEADERS = ("| vLLM's file | run by | pass | do not apply | why |", "| why | |")


def write(suites: Sequence[Suite], outcomes: Sequence[Outcome]) -> None:
    """Write the tables into the document: of suites that were not run just now, what it said before."""
    text = DOCUMENT.read_text()
    told = dict(re.findall(r"^\| `(.+?)` \|[^|]*\|(.*)$", text, re.MULTILINE))
    rows = [row(suite, outcomes) if suite in suites else _told(suite, told) for suite in SELECTION]
    for header, body in zip(HEADERS, (rows, reason_rows()), strict=True):
        text = with_body(text, header, body)
    DOCUMENT.write_text(text)


def with_body(text: str, header: str, rows: Sequence[str]) -> str:
    """A document with other rows in the table that has a header."""
    table = rf"^({re.escape(header)}\n\|[-|]+\n)(?:\|.*\n)*"
    return re.sub(table, lambda found: found[1] + "".join(f"{each}\n" for each in rows), text, flags=re.MULTILINE)


def _told(suite: Suite, told: dict[str, str]) -> str:
    """What the document said of a suite."""
    return _start(suite) + told.get(suite.path, " | | not run yet |")


def _start(suite: Suite) -> str:
    """The first cells of a suite's row."""
    command = "`make test-nightly`" if suite.longer else "`make test`"
    return f"| `{suite.path}` | {command} |"


def row(suite: Suite, outcomes: Iterable[Outcome]) -> str:
    """The line of a suite: how many of its tests pass, how many do not apply, and why."""
    own = [outcome for outcome in outcomes if outcome.path == suite.path]
    passed = sum(outcome.result == "passed" for outcome in own)
    reasons = Counter(reason.name for outcome in own if (reason := suite.reason(outcome.name)) is not None)
    listed = ", ".join(f"{reasons[reason.name]} {reason.name}" for reason in REASONS if reasons[reason.name])
    return f"{_start(suite)} {passed} | {reasons.total() or ''} | {listed} |"


def reason_rows() -> list[str]:
    """What the reasons are."""
    return [f"| {reason.name} | {reason.text} |" for reason in REASONS]


def missing_rows(rows: Iterable[str]) -> list[str]:
    """Those of the rows that the document does not have."""
    lines = set(DOCUMENT.read_text().splitlines())
    return [each for each in rows if each not in lines]
