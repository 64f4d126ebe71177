"""Each family on two ranks is pruned as its oracle prunes it, with its tower divided by weights or by images."""

import sys

import pytest

from tests.support.families import FAMILIES
from tests.support.tools import ROOT, run

DIVISIBLE = [name for name, family in FAMILIES.items() if not family.linear and family.chunked]
"""A tiny decoder with one linear head cannot be divided. Latent attention was not tried on two ranks."""


@pytest.mark.parametrize("stage", ["vision", "projector"])
@pytest.mark.parametrize("name", DIVISIBLE)
def test_two_ranks_agree_with_the_oracle(name: str, stage: str) -> None:
    done = run(sys.executable, "-m", "tests.support.ranks", name, stage, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stdout
