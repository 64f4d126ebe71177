"""The helpers of the tests of dashboards and rules read PromQL as it is."""

from tests.support.deploy.promql import matched_labels, metrics, without_thresholds

EXPRESSION = """
    sum by (job, le) (rate(a_total{x="b_total{", y!~"c"}[5m])) / on (job) group_left (z) job:d:rate5m > 14.4 * 0.01
    or $price * f offset 1h or scalar(histogram_quantile(0.5, vllm:e_bucket{le="1.0"})) unless up == 0
"""


def test_metrics_are_told_from_labels_functions_keywords_and_strings() -> None:
    assert metrics(EXPRESSION) == {"a_total", "job:d:rate5m", "f", "vllm:e_bucket", "up"}


def test_labels_are_found_with_their_metric() -> None:
    assert matched_labels('a{x="1", y!~"2"} + b:c{le="1.0"}') == {("a", "x"), ("a", "y"), ("b:c", "le")}


def test_comparisons_become_boolean_and_matchers_stay() -> None:
    found = without_thresholds('absent(a) and b{x!="1"} > 0.5 and c <= 1')
    assert found == 'count(a) and b{x!="1"} > bool 0.5 and c <= bool 1'
