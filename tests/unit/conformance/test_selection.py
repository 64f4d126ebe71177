"""How the selection of vLLM's tests is read, held against outcomes, and told in docs/conformance.md."""

import re
from pathlib import Path

import pytest

from tests.engine.conformance.outcomes import Outcome, problems
from tests.engine.conformance.selection import SELECTION
from tests.engine.conformance.suite import REASONS, Suite, matches
from tests.engine.conformance.table import DOCUMENT, missing_rows, reason_rows, with_body


def test_document_tells_of_no_other_suites() -> None:
    told = re.findall(r"^\| `(.+?)` \|", DOCUMENT.read_text(), re.MULTILINE)
    assert sorted(told) == sorted(suite.path for suite in SELECTION)


def test_document_explains_the_reasons() -> None:
    assert missing_rows(reason_rows()) == []


def test_one_table_of_a_document_is_written_anew() -> None:
    document = "| a |\n|---|\n| old |\n| old |\n\n| b |\n|---|\n| other |\n"
    assert with_body(document, "| a |", ["| new |"]) == "| a |\n|---|\n| new |\n\n| b |\n|---|\n| other |\n"


def outcome(result: str, name: str = "test_it") -> Outcome:
    return Outcome(f"test_file.py::{name}", result, 0, "traceback")


def test_selection_that_does_not_hold_is_a_problem() -> None:
    suite = Suite("test_file.py", excluded={"test_excluded": REASONS[0]})
    fine = [outcome("passed"), outcome("failed", "test_excluded[a]")]
    assert list(problems(suite, fine)) == []
    assert len(list(problems(suite, []))) == 2
    assert len(list(problems(suite, [outcome("passed", "test_excluded")]))) == 1
    assert len(list(problems(suite, [*fine, outcome("failed", "test_other")]))) == 1


@pytest.mark.parametrize("pattern", ["test_a", "test_*", "*", "test_a[x-*]", "*[x-y]"])
def test_patterns_that_fit(pattern: str) -> None:
    assert matches("test_a[x-y]", pattern)


@pytest.mark.parametrize("pattern", ["test", "test_a[y*]", "test_a[x]", "test_b[x-y]"])
def test_patterns_that_do_not_fit(pattern: str) -> None:
    assert not matches("test_a[x-y]", pattern)


def test_cache_is_not_part_of_the_repository() -> None:
    ignored = (Path(__file__).parents[3] / ".gitignore").read_text().splitlines()
    assert ".cache/" in ignored
