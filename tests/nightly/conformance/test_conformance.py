"""All of vLLM's own tests that are selected, against ours; those that do not apply are run too, and must fail."""

import pytest

from tests.engine.conformance.outcomes import Outcome, problems, run
from tests.engine.conformance.selection import SELECTION
from tests.engine.conformance.suite import Suite
from tests.engine.conformance.table import missing_rows, row
from tests.engine.conformance.upstream import UnavailableError, upstream
from tests.support.tools import missing


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """What became of vLLM's tests."""
    try:
        upstream()
    except UnavailableError as error:
        missing(str(error))
    return run(SELECTION, tmp_path_factory.mktemp("conformance"), thorough=True)


@pytest.mark.parametrize("suite", SELECTION, ids=lambda suite: suite.path)
def test_whatever_applies_passes_and_nothing_else_does(suite: Suite, outcomes: list[Outcome]) -> None:
    found = list(problems(suite, outcomes))
    assert not found, "\n".join(found)


def test_document_tells_what_became_of_each_suite(outcomes: list[Outcome]) -> None:
    assert missing_rows(row(suite, outcomes) for suite in SELECTION) == []
