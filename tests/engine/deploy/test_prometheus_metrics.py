"""Metrics are named as Prometheus likes them, and documented as they are."""

import re
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.support.deploy.metric_table import rows
from tests.support.servers import Server
from tests.support.tools import promtool


@pytest.fixture
def exposition(server: Server) -> str:
    """The lines of `/metrics` that are ours."""
    lines = httpx.get(f"{server.url}/metrics", timeout=30).text.splitlines(keepends=True)
    return "".join(line for line in lines if re.match(r"(# (HELP|TYPE) )?gprune_", line))


def families(exposition: str) -> Iterator[Metric]:
    """Metrics but for the creation times of others."""
    for family in text_string_to_metric_families(exposition):
        if not family.name.endswith("_created"):
            yield family


def test_promtool_finds_nothing_wrong(exposition: str) -> None:
    checked = promtool("check", "metrics", text=exposition)
    assert (checked.returncode, checked.stdout) == (0, "")


def test_the_documentation_lists_exactly_the_metrics_with_their_types_and_labels(exposition: str) -> None:
    exposed = {
        family.name + ("_total" if family.type == "counter" else ""): (
            family.type,
            frozenset(label for sample in family.samples for label in sample.labels) - {"le"},
        )
        for family in families(exposition)
    }
    assert {row.name: (row.type, row.labels) for row in rows()} == exposed


def test_each_example_is_about_its_metric() -> None:
    assert all(row.name in row.example for row in rows())
