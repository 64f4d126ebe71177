"""vLLM's own tests against ours. With CONFORMANCE=all in the environment, the longer selection."""

import os
import re
from pathlib import Path

import pytest

from tests.engine.conformance.others import OTHERS
from tests.engine.conformance.outcomes import Outcome, problems, run
from tests.engine.conformance.selection import REASONS, SELECTION, Suite, matches
from tests.engine.conformance.table import (
    DOCUMENT,
    missing_rows,
    other_rows,
    pattern_of,
    reason_rows,
    row,
    upstream_files,
    with_body,
)
from tests.engine.conformance.upstream import UnavailableError, upstream
from tests.support.tools import missing

CHOSEN = [suite for suite in SELECTION if not suite.longer or os.environ.get("CONFORMANCE") == "all"]


@pytest.fixture(scope="module")
def files() -> list[str]:
    """vLLM's test files. Without a package index tests are skipped, and in CI they fail."""
    try:
        return upstream_files(upstream())
    except UnavailableError as error:
        missing(f"vLLM's tests cannot be fetched:\n{error}")


@pytest.fixture(scope="module")
def outcomes(files: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """What became of vLLM's tests."""
    return run(CHOSEN, tmp_path_factory.mktemp("conformance"))


@pytest.mark.parametrize("suite", CHOSEN, ids=lambda suite: suite.path)
def test_whatever_applies_passes(suite: Suite, outcomes: list[Outcome]) -> None:
    found = list(problems(suite, outcomes))
    assert not found, "\n".join(found)


def test_document_tells_what_became_of_each_suite(outcomes: list[Outcome]) -> None:
    assert missing_rows(row(suite, outcomes) for suite in CHOSEN) == []


def test_document_tells_of_no_other_suites() -> None:
    told = re.findall(r"^\| `(.+?)` \|", DOCUMENT.read_text(), re.MULTILINE)
    assert sorted(told) == sorted(suite.path for suite in SELECTION)


def test_document_explains_the_reasons() -> None:
    assert missing_rows(reason_rows()) == []


def test_every_file_is_run_or_is_told_why_not(files: list[str]) -> None:
    selected = {suite.path for suite in SELECTION}
    assert selected <= set(files)
    assert {pattern_of(path) for path in files if path not in selected} == set(OTHERS)
    assert missing_rows(other_rows(files)) == []


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
