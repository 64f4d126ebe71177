"""What pruning is worth: an estimate, as a GPU's price times the share of time that pruning is measured to save."""

from grafana_foundation_sdk.builders.dashboard import TextBoxVariable

from deploy.grafana.board import Rows
from deploy.grafana.panels import lines, number
from deploy.grafana.queries import rate

PRICE = "gpu_hour_price"
PREFILL, DECODE = (rate(f"vllm:request_{phase}_time_seconds_sum") for phase in ("prefill", "decode"))
SAVED_PER_PROCESSED = f"{rate('gprune_prompt_tokens_saved_total')} / {rate('vllm:prompt_tokens_total')}"
GAIN = f"{SAVED_PER_PROCESSED} * {PREFILL} / ({PREFILL} + {DECODE})"
"""Time that pruned tokens would have taken, per time spent: tokens saved per token processed, times prefill's share."""


def price() -> TextBoxVariable:
    """What a GPU costs an hour, in any currency."""
    return TextBoxVariable(PRICE).label("Price of a GPU-hour").default_value("1")


def money() -> Rows:
    """The row of the estimate."""
    return {
        "Worth of pruning (estimate)": [
            number(
                "Worth per GPU-hour (estimate)",
                "Price of the GPU time that pruned tokens would have taken, for each GPU-hour spent. It assumes that "
                "prefill takes time in proportion to prompt tokens, the vision tower's time among it, and leaves out "
                "that more requests fit into the KV cache.",
                "short",
                f"${PRICE} * {GAIN}",
                width=6,
                height=8,
            ),
            number(
                "GPU-hours saved per GPU-hour (estimate)",
                "Tokens saved per prompt token processed, times the share of prefill in the time of requests.",
                "percentunit",
                GAIN,
                width=6,
                height=8,
            ),
            lines(
                "Worth per GPU-hour, by time (estimate)",
                "In the currency of the price above.",
                "short",
                {"worth": f"${PRICE} * {GAIN}"},
            ),
        ]
    }
