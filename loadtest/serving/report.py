"""What the benchmark writes down: `serving.json`, `serving.md` and `serving.png`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from loadtest.failure import LoadTestError
from loadtest.report import LATENCIES, draw, names, number
from loadtest.reporting import table, write_report
from loadtest.servers import OURS, STOCK
from loadtest.serving.summary import Row, judge
from loadtest.target import Target, samples

CONFIGURATION = "vllm:cache_config_info"
SHOWN = ("TTFT p50 (ms)", "TTFT p99 (ms)", "TPOT p50 (ms)", "TPOT p99 (ms)")
HEADER = ("arrivals", "pruned", "requests/s", "gain", "TTFT gain", *SHOWN, "KV cache in use")
GAINS = (
    "Gains are requests/s over stock's, and stock's median TTFT over this one's, in the same round. All figures are "
    "medians of the rounds, some with the least and the most."
)


async def capacity(target: Target) -> tuple[int, int]:
    """Read how many blocks of how many tokens a server's KV cache has.

    Raises:
        LoadTestError: it does not tell.
    """
    for sample in samples(await target.metrics(), CONFIGURATION):
        return int(sample.labels["num_gpu_blocks"]), int(sample.labels["block_size"])
    raise LoadTestError(f"{target.url}/metrics has no {CONFIGURATION}")


def report(
    folder: Path, command: str, about: str, rows: Sequence[Row], capacities: Mapping[str, tuple[int, int]], answer: int
) -> str:
    """Write all three files; return the text.

    Args:
        capacities: of each server's KV cache, blocks and tokens in one.
        answer: tokens that each prompt fills beside its own.
    """
    fits = []
    for row in {row["variant"]: row for row in rows if row["result"]["prune_ratio"] != "mixed"}.values():
        tokens = int(row["result"]["total_input_tokens"] / row["result"]["completed"])
        blocks, size = capacities[STOCK if row["variant"] == STOCK else OURS]
        images = blocks // -(-(tokens + answer) // size)  # each fills whole blocks
        fits.append({"variant": row["variant"], "prompt_tokens": tokens, "images": images})
    aims = list(judge(rows))
    held = {name: blocks * size for name, (blocks, size) in capacities.items()}
    content = {"about": about, "kv_cache_tokens": held, "concurrent_images": fits, "rows": rows, "aims": aims}
    body = [
        about,
        table(HEADER, [_row(row) for row in rows], text_columns=2),
        GAINS,
        " and ".join(f"{tokens:,} tokens ({name})" for name, tokens in held.items()) + " fit in the KV cache.",
        table(("pruned", "tokens of a prompt", "images at once"), [[*each.values()] for each in fits]),
        table(
            ("aim", "pruned", "arrivals", "gain", "verdict"),
            [[*(each | {"gain": f"{each['gain']:.2f}"}).values()] for each in aims],
            text_columns=3,
        ),
    ]
    figure = draw([row["result"] for row in rows], no_ratio=STOCK)
    return write_report(folder, "serving", "Serving", command, content, body, figure)


def _row(row: Row) -> list[str]:
    arrival, pruned = names(row["result"])
    spreads = (("throughput", ".3g"), ("throughput_gain", ".2f"), ("ttft_gain", ".2f"))
    return [
        arrival,
        STOCK if row["variant"] == STOCK else pruned,
        *(_spread(row[key], form) for key, form in spreads),
        *(number(row["result"][LATENCIES[name][0]], ".1f") for name in SHOWN),
        f"{row['cache_use']:.0%}",
    ]


def _spread(spread: Mapping[str, float], form: str) -> str:
    return "{median:{form}} ({least:{form}} to {most:{form}})".format(form=form, **spread)
