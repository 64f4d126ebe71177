"""Each family under test: its checkpoint and its oracle."""

from pathlib import Path

import pytest

from tests.support.families import FAMILIES, FamilyUnderTest
from tests.support.oracle import Oracle


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> FamilyUnderTest:
    return FAMILIES[request.param]


@pytest.fixture(scope="module")
def model(family: FamilyUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint of the family."""
    return family.write(tmp_path_factory.mktemp("family") / "tiny")


@pytest.fixture(scope="module")
def second_opinion(family: FamilyUnderTest, model: Path) -> Oracle:
    """The independent computation on the same checkpoint."""
    return family.oracle(model)
