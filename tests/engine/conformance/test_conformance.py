"""Those of vLLM's own tests that take a minute, against ours. The nightly tests run all that are selected."""

import pytest

from tests.engine.conformance.outcomes import Outcome, problems, run
from tests.engine.conformance.selection import SELECTION
from tests.engine.conformance.suite import Suite
from tests.engine.conformance.table import missing_rows, row
from tests.engine.conformance.upstream import UnavailableError, upstream
from tests.support.servers import STARTED
from tests.support.tools import missing

CHOSEN = [suite for suite in SELECTION if not suite.longer]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """What became of vLLM's tests. Where they were not fetched the tests are skipped, and in CI they fail."""
    try:
        upstream()
    except UnavailableError as error:
        missing(str(error))
    STARTED.append("conformance")  # in a process of its own
    return run(CHOSEN, tmp_path_factory.mktemp("conformance"), thorough=False)


@pytest.mark.parametrize("suite", CHOSEN, ids=lambda suite: suite.path)
def test_whatever_applies_passes(suite: Suite, outcomes: list[Outcome]) -> None:
    found = list(problems(suite, outcomes))
    assert not found, "\n".join(found)


def test_document_tells_what_became_of_each_suite(outcomes: list[Outcome]) -> None:
    assert missing_rows(row(suite, outcomes) for suite in CHOSEN) == []
