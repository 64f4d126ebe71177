"""How much of the time that pruning can save it does save."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from loadtest.benchmarks.timing import Times, interval

RATIOS = (0.0, 0.5, 0.7, 0.9)
STOCK, OURS, TEXT, TOWER = "stock", "ours", "text", "tower"


def name_of(what: str, ratio: float) -> str:
    """What `OURS` and `TEXT` are called at a ratio."""
    return f"{what} {ratio:g}"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Prefill:
    """Times to first token.

    Attributes:
        shape: name of the model's.
        layers: of the language model that ran.
        published_layers: that the published model has.
        lengths: of prompts in tokens, by ratio.
        times: by their names, `stock`, `tower`, and for each ratio `ours` and `text`.
    """

    shape: str
    layers: int
    published_layers: int
    lengths: Mapping[float, int]
    times: Mapping[str, Times]

    def at(self, what: str, ratio: float) -> Times:
        """What `OURS` or `TEXT` takes at a ratio."""
        return self.times[name_of(what, ratio)]

    def ideal(self, ratio: float) -> float:
        """Seconds that stock vLLM takes for a text of the pruned length, and those of the tower."""
        return self.at(TEXT, ratio).median + self.times[TOWER].median

    def efficiency(self, ratio: float) -> Estimate:
        """Which share of what the ideal saves is saved."""
        return estimate(
            lambda stock, ours, text, tower: share(stock, ours, text + tower),
            *(self.times[STOCK], self.at(OURS, ratio), self.at(TEXT, ratio), self.times[TOWER]),
        )

    def language_efficiency(self, ratio: float) -> Estimate:
        """The same, where the ideal saves nothing but prompt tokens: all else that a picture costs stock vLLM, decoding
        and resizing it for one, it costs the ideal too."""
        return estimate(
            lambda stock, ours, text, full: share(stock, ours, stock - full + text),
            *(self.times[STOCK], self.at(OURS, ratio), self.at(TEXT, ratio), self.at(TEXT, 0.0)),
        )

    def overhead(self) -> Estimate:
        """By how much longer than stock vLLM it takes at ratio 0, as a share."""
        return estimate(lambda ours, stock: ours / stock - 1, self.at(OURS, 0.0), self.times[STOCK])


def share(stock: float, ours: float, ideal: float) -> float:
    """`(stock - ours) / (stock - ideal)`."""
    return (stock - ours) / (stock - ideal) if stock != ideal else float("nan")


def estimate(statistic: Callable[..., float], *times: Times) -> Estimate:
    """A statistic of medians, and how sure it is."""
    return Estimate(statistic(*(each.median for each in times)), *interval(statistic, *times))
