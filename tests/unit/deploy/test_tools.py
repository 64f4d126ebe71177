"""Want of a tool skips a test, fails it in CI, and says what is missing."""

import pytest

from tests.support.tools import require


def test_without_a_program_tests_are_skipped_but_fail_in_ci() -> None:
    with pytest.raises(pytest.skip.Exception, match=r"nowhere is neither on PATH .* scripts/tools\.sh"):
        require("nowhere", {"PATH": ""})
    with pytest.raises(pytest.fail.Exception, match=r"nowhere is neither on PATH .* scripts/tools\.sh"):
        require("nowhere", {"PATH": "", "CI": "true"})
