"""The cost: what pruned tokens would have taken, and what choosing them takes."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.board import Rows, board
from deploy.grafana.money import money, price
from deploy.grafana.panels import OPERATIONS, TOKENS, TOKENS_PER_SECOND, density, lines, number
from deploy.grafana.queries import WINDOW, increase, mean, quantile, rate, select

SAVED, ALL = rate("gprune_prompt_tokens_saved_total"), rate("vllm:prompt_tokens_total")
KEPT = rate("gprune_visual_tokens_total", 'stage="kept"')
PROMPTS = rate("gprune_requests_total")
SELECTION = "gprune_selection_seconds"


def cost() -> Dashboard:
    """The dashboard to plan capacity with."""
    description = "Tokens, memory and work that pruning saves, and the time it takes."
    rows = {**_tokens(), **_memory(), **_work(), **money(), **_selection()}
    return board("gprune-cost", "G-Prune / Cost", description, rows, [price()])


def _tokens() -> Rows:
    return {
        "Tokens": [
            number(
                "Prompt tokens saved",
                "Prompt tokens that pruning saved over the time shown.",
                TOKENS,
                increase("gprune_prompt_tokens_saved_total"),
                width=6,
            ),
            number(
                "Share of all prompt tokens",
                "Tokens saved, of all that would have been processed without pruning, text among them.",
                "percentunit",
                f"{SAVED} / ({SAVED} + {ALL})",
                width=6,
            ),
            number("Tokens saved per prompt", "Per prompt with images.", TOKENS, f"{SAVED} / {PROMPTS}", width=6),
            number(
                "Tokens kept per prompt",
                "Visual tokens that a prompt with images is left with.",
                TOKENS,
                f"{KEPT} / {PROMPTS}",
                width=6,
            ),
            lines(
                "Prompt tokens",
                "Prompt tokens that vLLM processed, with those that pruning saved on top.",
                TOKENS_PER_SECOND,
                {"processed": ALL, "saved": SAVED},
                width=24,
                stacked=True,
            ),
        ]
    }


def _memory() -> Rows:
    saved = rate("gprune_kv_cache_saved_bytes_total")
    return {
        "KV cache": [
            number(
                "KV cache saved",
                "Bytes that pruned tokens would have taken, over the time shown.",
                "bytes",
                increase("gprune_kv_cache_saved_bytes_total"),
                height=8,
            ),
            number("Bytes saved per prompt", "Per prompt with images.", "bytes", f"{saved} / {PROMPTS}", height=8),
            lines(
                "KV cache saved, by time",
                "Bytes that pruned tokens would have taken.",
                "Bps",
                {"saved": saved},
                width=8,
            ),
            lines(
                "KV cache in use",
                "Mean share of KV-cache blocks in use, over servers.",
                "percentunit",
                {"in use": f"avg({select('vllm:kv_cache_usage_perc')})"},
                width=8,
            ),
        ]
    }


def _work() -> Rows:
    saved = rate("gprune_prefill_saved_flops_total")
    return {
        "Prefill": [
            number(
                "Prefill saved",
                "Floating-point operations that pruned tokens would have cost, over the time shown.",
                OPERATIONS,
                increase("gprune_prefill_saved_flops_total"),
                height=8,
            ),
            number("Work saved per prompt", "Per prompt with images.", OPERATIONS, f"{saved} / {PROMPTS}", height=8),
            lines(
                "Prefill saved, by time", "Computing power that pruning sets free.", "flops", {"saved": saved}, width=8
            ),
            lines(
                "Prefill time",
                "Mean time that a request, with images or without, is in prefill.",
                "s",
                {"prefill": mean("vllm:request_prefill_time_seconds")},
                width=8,
            ),
        ]
    }


def _selection() -> Rows:
    levels = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
    return {
        "Selecting tokens": [
            lines(
                "Time per image",
                "Time in the worker to score and select one image's tokens.",
                "s",
                {f"{{{{method}}}}, {name}": quantile(level, SELECTION, by="method") for name, level in levels.items()},
                width=8,
            ),
            lines(
                "Share of time",
                "Seconds of selecting per second, over all workers.",
                "percentunit",
                {"{{method}}": rate(f"{SELECTION}_sum", by="method")},
                width=8,
            ),
            density(
                "Times",
                "How many images took how long.",
                "s",
                f"sum by (le) (increase({select(f'{SELECTION}_bucket')}{WINDOW}))",
                width=8,
            ),
        ]
    }
