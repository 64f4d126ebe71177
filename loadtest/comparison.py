"""Two runs side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.markdown import table
from loadtest.gates import name_of
from loadtest.report import UNKNOWN, number
from loadtest.result import Result

COMPARED = {
    "request_throughput": "requests/s",
    "median_ttft_ms": "TTFT p50 (ms)",
    "median_itl_ms": "ITL p50 (ms)",
    "median_e2el_ms": "E2EL p50 (ms)",
}
DETAILS = {"median_ttft_ms": "ttfts", "median_itl_ms": "itls", "median_e2el_ms": "latencies"}
"""Where the values of single requests are that a median is of."""
RESAMPLES = 2000


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
    """Bootstrapped over single requests."""
    key = DETAILS.get(figure, "")
    if key not in first or key not in second:
        return None
    random = np.random.default_rng(0)
    medians = [_medians(_values(result, key), random) for result in (second, first)]
    low, high = np.percentile(medians[0] / medians[1], [2.5, 97.5])
    return float(low), float(high)


def _values(result: Result, key: str) -> np.ndarray:
    """The values of requests that did not fail."""
    whole = [value for value, error in zip(result[key], result["errors"], strict=True) if not error]
    return np.concatenate([np.atleast_1d(value) for value in whole])


def _medians(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Medians of so many draws from the values."""
    medians: np.ndarray = np.median(random.choice(values, (RESAMPLES, len(values))), axis=1)
    return medians


def _range(interval: tuple[float, float] | None) -> str:
    return UNKNOWN if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def as_markdown(found: Sequence[Change], names: tuple[str, str]) -> str:
    """A row for each figure of each cell."""
    header = ("cell", "figure", *names, "ratio", "95 % interval")
    rows = [
        (
            *(change.cell, COMPARED[change.figure], number(change.first, ".4g"), number(change.second, ".4g")),
            *(f"{change.ratio:.3f}", _range(change.interval)),
        )
        for change in found
    ]
    return f"# {names[1]} against {names[0]}\n\n" + table(header, rows, text_columns=2)
