"""Bounds on figures, for pipelines: a run that misses one fails."""

from argparse import ArgumentTypeError
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from loadtest.cell import ratio_name
from loadtest.result import FIGURES, Result

WORDS = {"over": "at most", "under": "at least"}


@dataclass(frozen=True, slots=True)
class Gate:
    """A bound on a figure: fail if it is over, or under, a limit."""

    figure: str
    fails: Literal["over", "under"]
    limit: float

    def misses(self, result: Result) -> str | None:
        """What is wrong with a result, if something is. A figure of which nothing was measured misses every bound."""
        value = result[self.figure]
        if value is not None and (value <= self.limit if self.fails == "over" else value >= self.limit):
            return None
        told = "was not measured" if value is None else f"is {value:.6g}"
        return f"{name_of(result)}: {self.figure} {told}, {WORDS[self.fails]} {self.limit:g} was asked for"


def gate_over(text: str) -> Gate:
    """The gate `FIGURE=LIMIT` that fails above the limit."""
    return _gate(text, "over")


def gate_under(text: str) -> Gate:
    """The gate `FIGURE=LIMIT` that fails below the limit."""
    return _gate(text, "under")


def _gate(text: str, fails: Literal["over", "under"]) -> Gate:
    figure, _, limit = text.partition("=")
    if figure not in FIGURES:
        raise ArgumentTypeError(f"{figure} is no figure; there are {', '.join(FIGURES)}")
    try:
        return Gate(figure, fails, float(limit))
    except ValueError:
        raise ArgumentTypeError(f"{text} is not FIGURE=LIMIT") from None


def faults(results: Sequence[Result], gates: Sequence[Gate]) -> list[str]:
    """All that is wrong, in sentences; nothing if all requests were answered and all gates passed."""
    failures = [
        f"{name_of(result)}: {count} of {result['num_prompts']} requests failed: {error}"
        for result in results
        for error, count in result["failures"].items()
    ]
    return failures + [missed for result in results for gate in gates if (missed := gate.misses(result))]


def name_of(result: Result) -> str:
    """What a result is of, in words."""
    return f"ratio {ratio_name(result['prune_ratio'])}, {result['arrival'].replace('-', ' ')}"
