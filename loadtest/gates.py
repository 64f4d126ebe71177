"""What must hold, for pipelines: every request answered, pruned where it asked for it, and figures within bounds."""

from argparse import ArgumentTypeError
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from loadtest.cell import ratio_name

Result = dict[str, Any]
"""What `vllm bench serve --save-result --save-detailed` writes, and some keys of our own."""
METRICS = ("ttft", "tpot", "itl", "e2el")
PERCENTILES = (90, 95, 99)
STATISTICS = ("mean", "median", "std", *(f"p{percentile}" for percentile in PERCENTILES))
FIGURES = (
    *("completed", "failed", "request_throughput", "request_goodput", "goodput_share", "output_throughput"),
    *("total_token_throughput", "visual_tokens_kept"),
    *(f"{statistic}_{metric}_ms" for metric, statistic in product(METRICS, STATISTICS)),
)
WORDS = {"over": "at most", "under": "at least"}
UNPROVEN = "asked for pruning, but nothing proves it: gprune_visual_tokens_total of /metrics"


@dataclass(frozen=True, slots=True)
class Gate:
    """A bound on a figure: fail if it is over, or under, a limit."""

    figure: str
    fails: Literal["over", "under"]
    limit: float

    def misses(self, result: Result) -> str | None:
        """Tell what is wrong with a result, if something is. A figure that was not measured misses every bound."""
        value = result.get(self.figure) if result["completed"] else None
        if value is not None and (value <= self.limit if self.fails == "over" else value >= self.limit):
            return None
        told = "was not measured" if value is None else f"is {value:.6g}"
        return f"{name_of(result)}: {self.figure} {told}, {WORDS[self.fails]} {self.limit:g} was asked for"


def gate(fails: Literal["over", "under"], text: str) -> Gate:
    """Read the bound `FIGURE=LIMIT`."""
    figure, _, limit = text.partition("=")
    if figure not in FIGURES:
        raise ArgumentTypeError(f"{figure} is no figure; there are {', '.join(FIGURES)}")
    return Gate(figure, fails, float(limit))


def faults(results: Sequence[Result], gates: Sequence[Gate] = ()) -> list[str]:
    """All that is wrong, in sentences."""
    found = []
    for result in results:
        for error, count in result["failures"].items():
            found.append(f"{name_of(result)}: {count} of {result['num_prompts']} requests failed: {error}")
        missed = [each.misses(result) for each in gates]
        found += [told for told in (unproven(result), *missed) if told]
    return found


def unproven(result: Result) -> str | None:
    """Tell why nothing proves that a cell was pruned, if it asked for that.

    A server that does not know `prune_ratio` ignores it, and its figures would be written down as those of pruning.
    """
    if not any(result["prune_ratios"]) or not result["completed"]:
        return None
    whole, kept = result["visual_tokens_input"], result["visual_tokens_kept"]
    if whole is not None and kept < whole:
        return None
    told = "did not rise; --ratios none sends no prune_ratio" if whole is None else f"says that all {whole:.0f} stayed"
    return f"{name_of(result)}: {UNPROVEN} {told}"


def name_of(result: Result) -> str:
    """What a result is of, in words."""
    return f"ratio {ratio_name(result['prune_ratio'])}, {result['arrival'].replace('-', ' ')}"
