"""The objectives that the alerts guard, from the same recording rules: deploy/prometheus/rules."""

from deploy.grafana.board import Rows
from deploy.grafana.panels import lines, number, red_above, red_below
from deploy.grafana.queries import rate, select

LATE_BUDGET = 0.01
"""Share of first tokens that may be late, as in the alerts of the rules."""
FAST, SLOW = 14.4, 6.0
"""Burn rates over 1 and 6 hours above which the alerts fire."""
ERROR_BUDGET = 0.05
"""Share of answers that may be server errors before an alert fires."""


def objectives() -> Rows:
    """The row of objectives. It shows the worst job, and stays empty where Prometheus does not load the rules."""
    return {
        "Objectives": [
            number(
                "First tokens in time",
                "Share of prompts with images whose first token came within 2.5 seconds, over 6 hours. The objective "
                "is 99 %.",
                "percentunit",
                f"1 - max({select('job:gprune_first_token_late:ratio_rate6h')})",
                width=6,
            ).thresholds(red_below(1 - LATE_BUDGET)),
            number(
                "Burn rate, 1 hour",
                "How many times faster than the objective admits first tokens are late. Above 14.4 "
                "GPruneFirstTokenBudgetBurnsFast fires.",
                "x",
                _burn_rate("1h"),
                width=6,
            ).thresholds(red_above(FAST)),
            number(
                "Burn rate, 6 hours",
                "How many times faster than the objective admits first tokens are late. Above 6 "
                "GPruneFirstTokenBudgetBurnsSlowly fires.",
                "x",
                _burn_rate("6h"),
                width=6,
            ).thresholds(red_above(SLOW)),
            number(
                "Answers without server error",
                "Share of answers over 5 minutes. Below 95 % GPruneErrorRateHigh fires. Rejections do not count.",
                "percentunit",
                f"1 - max({select('job:gprune_server_errors:ratio_rate5m')})",
                width=6,
            ).thresholds(red_below(1 - ERROR_BUDGET)),
            lines(
                "Burn rate",
                "How many times faster than the objective admits first tokens are late, over four windows. The alerts "
                "look at 1 hour with 5 minutes, and at 6 hours with 30 minutes.",
                "x",
                {window: _burn_rate(window) for window in ("5m", "30m", "1h", "6h")},
                width=8,
            ),
            lines(
                "Requests rejected",
                "Share of requests that are rejected for want of room. Above 5 % GPruneOverloaded fires.",
                "percentunit",
                {"{{job}}": f"{select('job:gprune_rejections:rate5m')} / {rate('http_requests_total', by='job')}"},
                width=8,
            ),
            lines(
                "Rejections by limit",
                "Requests rejected because --max-num-queued-reqs or --max-num-queued-tokens is reached.",
                "reqps",
                {"{{reason}}": rate("vllm:admission_rejections_total", by="reason")},
                width=8,
                stacked=True,
            ),
        ]
    }


def _burn_rate(window: str) -> str:
    return f"max({select(f'job:gprune_first_token_late:ratio_rate{window}')}) / {LATE_BUDGET}"
