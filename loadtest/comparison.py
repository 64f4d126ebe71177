"""Two runs side by side."""

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import bootstrap

from loadtest.failure import LoadTestError
from loadtest.gates import Result, name_of
from loadtest.report import read_results
from loadtest.reporting import RESAMPLES, table

COMPARED = {"request_throughput": "", "median_ttft_ms": "ttfts", "median_itl_ms": "itls", "median_e2el_ms": "latencies"}
"""Figures, and where the values of single requests are of which they are medians."""


class Change(NamedTuple):
    """A figure of a cell in two runs.

    Attributes:
        ratio: the second run's over the first's.
        slowdown: by how many per cent the second run is worse.
        interval: what the ratio may be by chance alone, 95 %; None where the single requests are not known.
    """

    cell: str
    figure: str
    first: float
    second: float
    ratio: float
    slowdown: float
    interval: tuple[float, float] | None


def compare(words: Sequence[str]) -> bool:
    """Run the command; return whether no figure is worse than is allowed.

    Raises:
        LoadTestError: the runs have no cell in common.
    """
    whole = ArgumentParser("python -m loadtest compare", description="Compare two runs, the later one second.")
    whole.add_argument("runs", type=Path, nargs=2, help="folders of load tests, or files of `vllm bench serve`")
    whole.add_argument("--output", type=Path, help="file to write the report to as well")
    whole.add_argument("--fail-slower", type=float, default=np.inf, metavar="PERCENT", help="fail if worse by more")
    arguments = whole.parse_args(words)
    found = list(changes(*map(read_results, arguments.runs)))
    if not found:
        raise LoadTestError(f"{arguments.runs[0]} and {arguments.runs[1]} have no cell in common")
    print(text := as_markdown(found, *map(str, arguments.runs)))
    if arguments.output:
        arguments.output.write_text(text)
    slower = [each for each in found if each.slowdown > arguments.fail_slower]
    told = [f"{each.cell}: {each.figure} is worse by {each.slowdown:.1f} %" for each in slower]
    print(*(told or ["passed"]), sep="\n")
    return not slower


def changes(first: Sequence[Result], second: Sequence[Result]) -> Iterator[Change]:
    """Compare the figures that both runs have of cells that both measured, in the order of the first."""
    others = {name_of(result): result for result in second}
    for result in first:
        other = others.get(name := name_of(result), {})
        for figure, details in COMPARED.items():
            if (one := result.get(figure)) and (two := other.get(figure)):
                worse = two / one if details else one / two
                yield Change(name, figure, one, two, two / one, 100 * (worse - 1), _interval(details, result, other))


def _interval(details: str, first: Result, second: Result) -> tuple[float, float] | None:
    """Bootstrap over single requests, which do not come in pairs."""
    if details not in first or details not in second:
        return None
    values = [_values(result, details) for result in (second, first)]
    if min(map(len, values)) < 2:
        return None
    found = bootstrap(values, _ratio_of_medians, n_resamples=RESAMPLES, method="percentile", rng=0)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _ratio_of_medians(second: Any, first: Any, axis: int = -1) -> Any:
    return np.median(second, axis=axis) / np.median(first, axis=axis)


def _values(result: Result, details: str) -> Any:
    """The values of requests that did not fail."""
    whole = [value for value, error in zip(result[details], result["errors"], strict=True) if not error]
    return np.concatenate([np.atleast_1d(value) for value in whole])


def as_markdown(found: Sequence[Change], first: str, second: str) -> str:
    """Make a row for each figure of each cell."""
    rows = []
    for cell, figure, one, two, ratio, _, interval in found:
        told = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else "-"
        rows.append((cell, figure, f"{one:.4g}", f"{two:.4g}", f"{ratio:.3f}", told))
    header = ("cell", "figure", first, second, "ratio", "95 % interval")
    return f"# {second} against {first}\n\n" + table(header, rows, text_columns=2)
