"""What the benchmark writes down: `serving.json`, `serving.md` and `serving.png`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loadtest.plot import draw
from loadtest.report import number, share
from loadtest.reporting import table, write_report
from loadtest.servers import OURS, STOCK
from loadtest.serving.aims import judge
from loadtest.serving.cache import Capacity
from loadtest.serving.summary import Row, Spread

HEADER = (
    *("arrivals", "pruned", "requests/s", "gain", "TTFT p50 (ms)", "TTFT p99", "TTFT gain"),
    *("TPOT p50 (ms)", "TPOT p99", "KV cache in use"),
)
GAINS = (
    "Gains are requests/s over stock's, and stock's median TTFT over this one's, in the same round: the median of the "
    "rounds, with the least and the most. Percentiles are over the requests of all rounds."
)


@dataclass(frozen=True, slots=True)
class Report:
    """All that was measured.

    Attributes:
        command: what was run.
        about: how, in a sentence.
        capacities: of the servers' KV caches.
    """

    command: str
    about: str
    rows: Sequence[Row]
    capacities: Mapping[str, Capacity]
    max_tokens: int

    def write(self, folder: Path) -> str:
        """Write all three files; return the text."""
        body = [self.about, _figures(self.rows), GAINS, self._capacity(), _aims(self.rows)]
        figure = draw([row.result for row in self.rows], no_ratio=STOCK)
        return write_report(folder, "serving", "Serving", self.command, self.as_json(), body, figure)

    def as_json(self) -> dict[str, Any]:
        """Everything but where it comes from."""
        return {
            "about": self.about,
            "kv_cache": {name: {**asdict(each), "tokens": each.tokens} for name, each in self.capacities.items()},
            "concurrent_images": [
                {"variant": row.variant, "prompt_tokens": _prompt_tokens(row), "images": self._images(row)}
                for row in self._prompts()
            ],
            "rows": [asdict(row) for row in self.rows],
            "aims": [asdict(judgement) for judgement in judge(self.rows)],
        }

    def _prompts(self) -> list[Row]:
        """A row for each variant whose prompts all have one length."""
        first = {row.variant: row for row in reversed(self.rows) if row.result["prune_ratio"] != "mixed"}
        return list(reversed(first.values()))

    def _images(self, row: Row) -> int:
        server = STOCK if row.variant == STOCK else OURS
        return self.capacities[server].prompts(_prompt_tokens(row) + self.max_tokens)

    def _capacity(self) -> str:
        header = ("pruned", "tokens of a prompt", "images that the KV cache holds at once")
        rows = [(_pruned(row), _prompt_tokens(row), self._images(row)) for row in self._prompts()]
        tokens = " and ".join(f"{each.tokens:,} ({name})" for name, each in self.capacities.items())
        told = f"The KV cache holds {tokens} tokens; a prompt fills {self.max_tokens} more with its answer."
        return f"{told}\n\n{table(header, rows)}"


def _figures(rows: Sequence[Row]) -> str:
    return table(HEADER, [_row(row) for row in rows], text_columns=2)


def _row(row: Row) -> list[str]:
    result = row.result
    return [
        row.arrival.replace("-", " ", 1),
        _pruned(row),
        _spread(row.throughput, ".3g"),
        _spread(row.throughput_gain, ".2f"),
        *(number(result[figure], ".0f") for figure in ("median_ttft_ms", "p99_ttft_ms")),
        _spread(row.ttft_gain, ".2f"),
        *(number(result[figure], ".1f") for figure in ("median_tpot_ms", "p99_tpot_ms")),
        f"{row.cache_use:.0%}",
    ]


def _pruned(row: Row) -> str:
    return STOCK if row.variant == STOCK else share(row.result["prune_ratio"])


def _prompt_tokens(row: Row) -> int:
    """Tokens of a prompt, as the server counted them."""
    return int(row.result["total_input_tokens"] / row.result["completed"])


def _spread(spread: Spread, form: str) -> str:
    return f"{spread.median:{form}} ({spread.least:{form}} to {spread.most:{form}})"


def _aims(rows: Sequence[Row]) -> str:
    header = ("aim", "pruned", "arrivals", "verdict", "measured")
    return table(
        header,
        [
            (each.aim, each.variant, each.arrival.replace("-", " ", 1), each.verdict, f"{each.gain:.2f}")
            for each in judge(rows)
        ],
        text_columns=4,
    )
