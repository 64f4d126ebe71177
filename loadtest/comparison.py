"""Two runs side by side.

python -m loadtest compare DIR DIR [--output FILE] [--fail-slower PERCENT]
"""

from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import bootstrap

from loadtest.failure import LoadTestError
from loadtest.gates import Result, name_of
from loadtest.report import UNKNOWN, number, read_results
from loadtest.reporting import RESAMPLES, table

COMPARED = {
    "request_throughput": "requests/s",
    "median_ttft_ms": "TTFT p50 (ms)",
    "median_itl_ms": "ITL p50 (ms)",
    "median_e2el_ms": "E2EL p50 (ms)",
}
DETAILS = {"median_ttft_ms": "ttfts", "median_itl_ms": "itls", "median_e2el_ms": "latencies"}
"""Where the values of single requests are that a median is of."""


@dataclass(frozen=True, slots=True)
class Change:
    """A figure of a cell in two runs.

    Attributes:
        interval: what the ratio may be by chance alone, 95 %; None where the single requests are not known.
    """

    cell: str
    figure: str
    first: float
    second: float
    interval: tuple[float, float] | None

    @property
    def ratio(self) -> float:
        """The second run's over the first's."""
        return self.second / self.first

    @property
    def slowdown(self) -> float:
        """By how many per cent the second run is worse."""
        return 100 * (1 / self.ratio - 1 if self.figure == "request_throughput" else self.ratio - 1)


def compare(words: Sequence[str]) -> bool:
    """Run the command; return whether no figure is worse than is allowed.

    Raises:
        LoadTestError: the runs have no cell in common.
    """
    whole = ArgumentParser("python -m loadtest compare", description="Compare two runs, the later one second.")
    whole.add_argument("runs", type=Path, nargs=2, help="folders of load tests, or files of `vllm bench serve`")
    whole.add_argument("--output", type=Path, help="file to write the report to as well")
    whole.add_argument("--fail-slower", type=float, metavar="PERCENT", help="fail if a figure is worse by more")
    arguments = whole.parse_args(words)
    first, second = arguments.runs
    found = changes(read_results(first), read_results(second))
    if not found:
        raise LoadTestError(f"{first} and {second} have no cell in common")
    print(text := as_markdown(found, (str(first), str(second))))
    if arguments.output:
        arguments.output.write_text(text)
    limit = float("inf") if arguments.fail_slower is None else arguments.fail_slower
    slower = [each for each in found if each.slowdown > limit]
    told = [f"{each.cell}: {each.figure} is worse by {each.slowdown:.1f} %" for each in slower]
    print(*(told or ["passed"]), sep="\n")
    return not slower


def changes(first: Sequence[Result], second: Sequence[Result]) -> list[Change]:
    """The figures that both runs have of cells that both measured, in the order of the first."""
    others = {name_of(result): result for result in second}
    return [
        change
        for result in first
        if name_of(result) in others
        for change in _changes(name_of(result), result, others[name_of(result)])
    ]


def _changes(cell: str, first: Result, second: Result) -> Iterator[Change]:
    for figure in COMPARED:
        if first.get(figure) and second.get(figure):
            yield Change(cell, figure, first[figure], second[figure], _interval(figure, first, second))


def _interval(figure: str, first: Result, second: Result) -> tuple[float, float] | None:
    """Bootstrap over single requests, which do not come in pairs."""
    key = DETAILS.get(figure, "")
    if key not in first or key not in second:
        return None
    values = _values(second, key), _values(first, key)
    if min(map(len, values)) < 2:
        return None
    found = bootstrap(values, _ratio_of_medians, n_resamples=RESAMPLES, method="percentile", rng=0)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _ratio_of_medians(second: Any, first: Any, axis: int = -1) -> Any:
    return np.median(second, axis=axis) / np.median(first, axis=axis)


def _values(result: Result, key: str) -> Any:
    """The values of requests that did not fail."""
    whole = [value for value, error in zip(result[key], result["errors"], strict=True) if not error]
    return np.concatenate([np.atleast_1d(value) for value in whole])


def _range(interval: tuple[float, float] | None) -> str:
    return UNKNOWN if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def as_markdown(found: Sequence[Change], names: tuple[str, str]) -> str:
    """Make a row for each figure of each cell."""
    header = ("cell", "figure", *names, "ratio", "95 % interval")
    rows = [
        (
            *(change.cell, COMPARED[change.figure], number(change.first, ".4g"), number(change.second, ".4g")),
            *(f"{change.ratio:.3f}", _range(change.interval)),
        )
        for change in found
    ]
    return f"# {names[1]} against {names[0]}\n\n" + table(header, rows, text_columns=2)
