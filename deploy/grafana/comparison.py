"""The comparison: latency, quality and throughput by how much was pruned."""

from grafana_foundation_sdk.builders.timeseries import Panel
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.board import Rows, board
from deploy.grafana.panels import TOKENS_PER_SECOND, density, lines
from deploy.grafana.quality import quality
from deploy.grafana.queries import BUCKET, WINDOW, quantile, rate, select

LEGEND = f"{{{{{BUCKET}}}}}"
UNPRUNED = f'{BUCKET}="0"'
LATENCIES = {
    "time_to_first_token": ("Time to first token", "From a request's arrival to its first token"),
    "inter_token_latency": ("Time between tokens", "Mean time between the output tokens of a prompt"),
    "e2e_request_latency": ("Whole request", "From a request's arrival to its last token"),
    "request_queue_time": ("Queue", "Time that a prompt waits to be scheduled"),
}


def comparison() -> Dashboard:
    """The dashboard that shows the effect of pruning."""
    description = "Latency, quality and throughput of prompts with images, by pruning ratio."
    latencies = {title: _quantiles(name, title, text) for name, (title, text) in LATENCIES.items()}
    rows = {**_effect(), **quality(), **latencies, **_throughput()}
    return board("gprune-comparison", "G-Prune / Comparison", description, rows)


def _effect() -> Rows:
    return {
        "Against unpruned prompts": [
            _speedup("time_to_first_token", "first token"),
            _speedup("e2e_request_latency", "whole request"),
        ]
    }


def _speedup(name: str, what: str) -> Panel:
    """How many times faster the median pruned prompt is than the median unpruned one."""
    histogram = f"gprune_{name}_seconds"
    return lines(
        f"Speed-up of the {what}",
        "Median of unpruned prompts divided by the median of each ratio, over the same time. It compares what clients "
        "sent: where they prune large images only, the effect looks smaller than it is.",
        "x",
        {LEGEND: f"scalar({quantile(0.5, histogram, UNPRUNED)}) / {quantile(0.5, histogram, by=BUCKET)}"},
    )


def _quantiles(name: str, title: str, text: str) -> list[Panel]:
    return [
        lines(
            f"{title}, p{level * 100:.0f}",
            f"{text}, by pruning ratio.",
            "s",
            {LEGEND: quantile(level, f"gprune_{name}_seconds", by=BUCKET)},
            width=8,
        )
        for level in (0.5, 0.9, 0.99)
    ]


def _throughput() -> Rows:
    return {
        "Throughput": [
            lines(
                "Prompts answered",
                "Prompts with images answered per second, by pruning ratio.",
                "reqps",
                {LEGEND: rate("gprune_e2e_request_latency_seconds_count", by=BUCKET)},
                width=8,
                stacked=True,
            ),
            lines(
                "Images",
                "Images per second, by pruning ratio.",
                "cps",
                {LEGEND: rate("gprune_images_total", by=BUCKET)},
                width=8,
                stacked=True,
            ),
            lines(
                "Generated tokens",
                "Output of prompts with images, by pruning ratio.",
                TOKENS_PER_SECOND,
                {LEGEND: rate("gprune_generation_tokens_total", by=BUCKET)},
                width=8,
                stacked=True,
            ),
            density(
                "Ratios",
                "How many prompts with images were pruned by how much.",
                "percentunit",
                f"sum by (le) (increase({select('gprune_prune_ratio_bucket')}{WINDOW}))",
                width=24,
            ),
        ]
    }
