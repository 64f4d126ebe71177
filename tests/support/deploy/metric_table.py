"""The table of docs/metrics.md."""

import re
from dataclasses import dataclass

from tests.support.tools import ROOT


@dataclass(frozen=True, slots=True)
class Row:
    """A metric as documented."""

    name: str
    type: str
    labels: frozenset[str]
    example: str


def rows() -> list[Row]:
    """The documented metrics."""
    lines = re.findall(r"^\| `gprune_.*$", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    return [_row(*(cell.strip() for cell in line.strip("|").split("|"))) for line in lines]


def _row(name: str, kind: str, labels: str, meaning: str, example: str) -> Row:
    assert meaning, f"{name} has no meaning"
    return Row(name.strip("`"), kind, frozenset(re.findall(r"`(\w+)`", labels)), example.strip("`"))
