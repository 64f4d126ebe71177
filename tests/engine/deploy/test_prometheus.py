"""A real Prometheus scrapes a live server: every query of the shipped dashboards and rules returns data."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.support.deploy.dashboards import (
    Query,
    dashboards,
    inputs,
    interpolate,
    panel_queries,
    rules,
    variable_queries,
)
from tests.support.deploy.metric_table import rows
from tests.support.deploy.prometheus import NAMESPACE, Prometheus, run_prometheus
from tests.support.deploy.promql import matched_labels, metrics, without_thresholds
from tests.support.photos import china, flower
from tests.support.questions import ask, canary_id, chosen_id, messages
from tests.support.servers import MODEL, Server
from tests.support.waiting import wait_until

OTHER_EXPORTERS = {"DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_XID_ERRORS"}  # no GPU is scraped here
OF_PROMETHEUS = {"up"}
QUERIES = panel_queries()
ANSWERABLE = {name: query for name, query in QUERIES.items() if not metrics(query.expression) & OTHER_EXPORTERS}
EXPRESSIONS = [query.expression for query in QUERIES.values()] + [
    rule["expr"] for kind in ("record", "alert") for rule in rules(kind).values()
]


@pytest.fixture(scope="module")
def prometheus(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus after traffic. It comes twice: a series that begins with a request has a rate from the second on."""
    target = server.url.removeprefix("http://")
    with run_prometheus(tmp_path_factory.mktemp("prometheus"), target) as running:
        running.wait_for_scrapes(target)
        for _ in range(2):
            send_traffic(server)
            running.wait_for_scrapes(target)
        yield running


def send_traffic(server: Server) -> None:
    """Every ratio bucket, two images, text alone, a stream, a canary, an answer that is judged, and what is refused."""
    for ratio in (None, 0, 0.2, 0.5, 0.7, 0.9):
        ask(server, [china()], ratio, max_tokens=4)
    ask(server, [china(), flower()], 0.7, max_tokens=4)
    ask(server, [], max_tokens=4)
    ask(server, [china()], max_tokens=4, request_id=canary_id())
    stream = server.client.chat.completions.create(
        model=MODEL, messages=messages([flower()]), max_tokens=4, stream=True, extra_body={"prune_ratio": 0.5}
    )
    assert list(stream)
    before = server.total("gprune_shadow_total")
    ask(server, [china()], 0.7, max_tokens=4, request_id=chosen_id())
    wait_until(lambda: server.total("gprune_shadow_total") > before)
    refused = server.post("/v1/chat/completions", {"model": MODEL, "messages": messages([china()]), "prune_ratio": 2})
    assert refused.status_code == 400
    assert server.post("/v1/chat/completions", {}).status_code == 400


@pytest.fixture(scope="module")
def values(prometheus: Prometheus) -> dict[str, str]:
    """The dashboards' variables where all servers are chosen, and Grafana's own."""
    chosen = {"__rate_interval": "10m", "__range": "10m", **inputs(dashboards()["cost"])}
    for name, query in variable_queries(dashboards()["overview"]).items():
        chosen[name] = "|".join(re.escape(value).replace("\\", r"\\") for value in options(prometheus, query, chosen))
    return chosen


def options(prometheus: Prometheus, query: str, values: Mapping[str, str]) -> list[str]:
    """The options of a variable, whose query is `label_values(SERIES, LABEL)`."""
    parts = re.fullmatch(r"label_values\((.*), (\w+)\)", interpolate(query, values))
    assert parts is not None
    series, label = parts.groups()
    found: list[str] = prometheus.get(f"label/{label}/values", **{"match[]": series})
    return found


def assert_data(samples: list[dict[str, Any]], expression: str) -> None:
    """Some sample is a number: a quantile of nothing is none."""
    numbers = [float(sample["value"][1]) for sample in samples]
    assert any(map(math.isfinite, numbers)), f"{expression} returns {samples}"


@pytest.mark.parametrize("name", dashboards())
def test_every_variable_has_options(name: str, prometheus: Prometheus, values: dict[str, str]) -> None:
    queries = variable_queries(dashboards()[name])
    found = {variable: options(prometheus, query, values) for variable, query in queries.items()}
    instance = prometheus.query("gprune_info")[0]["metric"]["instance"]
    assert found == {"namespace": [NAMESPACE], "job": ["gprune"], "model_name": [MODEL], "instance": [instance]}


@pytest.mark.parametrize("query", [pytest.param(query, id=name) for name, query in ANSWERABLE.items()])
def test_every_panel_has_data_with_the_labels_of_its_legend(
    query: Query, prometheus: Prometheus, values: dict[str, str]
) -> None:
    samples = prometheus.query(interpolate(query.expression, values))
    assert_data(samples, query.expression)
    assert all(query.legend_labels <= set(sample["metric"]) for sample in samples)


@pytest.mark.parametrize(
    ("panel", "label", "expected"),
    [
        ("overview: Prompts by source of the ratio A", "source", {"request", "default", "canary"}),
        ("overview: Prompts by tenant and ratio A", "tenant", {"tests"}),
        ("comparison: Judgements A", "outcome", {"judged"}),
    ],
)
def test_panels_tell_apart_what_their_traffic_was(
    panel: str, label: str, expected: set[str], prometheus: Prometheus, values: dict[str, str]
) -> None:
    samples = prometheus.query(interpolate(QUERIES[panel].expression, values))
    assert expected <= {sample["metric"][label] for sample in samples if float(sample["value"][1]) > 0}


@pytest.mark.parametrize("name", sorted(set(QUERIES) - set(ANSWERABLE)))
def test_queries_of_other_exporters_are_valid(name: str, prometheus: Prometheus, values: dict[str, str]) -> None:
    assert prometheus.query(interpolate(QUERIES[name].expression, values)) == []


@pytest.mark.parametrize("example", [pytest.param(row.example, id=row.name) for row in rows()])
def test_every_documented_example_has_data(example: str, prometheus: Prometheus) -> None:
    assert_data(prometheus.query(example), example)


def test_every_rule_evaluates(prometheus: Prometheus) -> None:
    groups = prometheus.get("rules")["groups"]
    states = {rule["name"]: (rule["health"], rule.get("lastError")) for group in groups for rule in group["rules"]}
    assert states == {name: ("ok", None) for kind in ("record", "alert") for name in rules(kind)}


@pytest.mark.parametrize("name", rules("record"))
def test_every_recording_rule_records_data(name: str, prometheus: Prometheus) -> None:
    assert_data(prometheus.query(name), name)


@pytest.mark.parametrize("name", rules("alert"))
def test_what_every_alert_compares_has_data(name: str, prometheus: Prometheus) -> None:
    expression = without_thresholds(rules("alert")[name]["expr"])
    samples = prometheus.query(expression)
    if metrics(expression) & OTHER_EXPORTERS:
        assert samples == []
    else:
        assert_data(samples, expression)


@pytest.mark.usefixtures("prometheus")  # some metrics begin with a request
def test_every_metric_of_ours_is_used_and_every_used_metric_is_there(server: Server) -> None:
    exposed = {sample.partition("{")[0] for sample in server.metrics()}
    used = set().union(*map(metrics, EXPRESSIONS))
    assert used <= exposed | set(rules("record")) | OF_PROMETHEUS | OTHER_EXPORTERS
    ours = {family(name) for name in exposed if name.startswith("gprune_") and not name.endswith("_created")}
    assert ours == {family(name) for name in used if name.startswith("gprune_")}


def family(sample: str) -> str:
    """The metric that a sample of a histogram belongs to."""
    return re.sub(r"_(bucket|sum|count)$", "", sample)


def test_every_label_that_a_query_filters_by_is_on_its_metric(prometheus: Prometheus) -> None:
    filters = set().union(*map(matched_labels, EXPRESSIONS))
    missing = {(name, label) for name, label in filters if not prometheus.query(f'{name}{{{label}!=""}}')}
    assert missing == set()
