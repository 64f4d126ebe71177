"""What the rounds came to: a row for each variant under each pattern of arrivals."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from loadtest.arrival import ClosedLoop
from loadtest.result import Measurement, Result, result_of
from loadtest.serving.rounds import Taken
from loadtest.serving.servers import STOCK


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of the rounds, and the least and the most of them."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of values."""
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Row:
    """A variant under a pattern of arrivals.

    Attributes:
        result: of the requests of all rounds together, in the form of `vllm bench serve`.
        throughput: requests a second.
        throughput_gain: against stock in the same round.
        ttft_gain: stock's median time to first token over this one's, in the same round.
        cache_use: the largest share of the KV cache seen in use.
        closed: whether requests came in a closed loop. Where they come at a rate, that is the throughput.
    """

    variant: str
    result: Result
    throughput: Spread
    throughput_gain: Spread
    ttft_gain: Spread
    cache_use: float
    closed: bool

    @property
    def arrival(self) -> str:
        """The pattern's name."""
        return str(self.result["arrival"])

    @property
    def gain(self) -> Spread:
        """By what to judge whether it is faster than stock."""
        return self.throughput_gain if self.closed else self.ttft_gain


def summarise(taken: Sequence[Taken], model: str) -> list[Row]:
    """All rows, in the order in which they were first measured."""
    cells = dict.fromkeys((each.variant.name, each.measurement.cell.arrival) for each in taken)
    return [
        _row([each for each in taken if (each.variant.name, each.measurement.cell.arrival) == cell], taken, model)
        for cell in cells
    ]


def _row(own: Sequence[Taken], taken: Sequence[Taken], model: str) -> Row:
    cell = own[0].measurement.cell
    stock = {
        each.number: each.measurement
        for each in taken
        if each.variant.server == STOCK and each.measurement.cell.arrival == cell.arrival
    }
    rates = [throughput(each.measurement) for each in own]
    return Row(
        variant=own[0].variant.name,
        result=_pooled([each.measurement for each in own], model),
        throughput=Spread.of(rates),
        throughput_gain=Spread.of(
            [rate / throughput(stock[each.number]) for rate, each in zip(rates, own, strict=True)]
        ),
        ttft_gain=Spread.of([ttft(stock[each.number]) / ttft(each.measurement) for each in own]),
        cache_use=max(each.cache_use for each in own),
        closed=isinstance(cell.arrival, ClosedLoop),
    )


def throughput(measurement: Measurement) -> float:
    """Requests a second."""
    return len(measurement.answers) / measurement.seconds


def ttft(measurement: Measurement) -> float:
    """The median time to first token in seconds."""
    return median(answer.ttft for answer in measurement.answers)


def _pooled(measurements: Sequence[Measurement], model: str) -> Result:
    """The figures of several measurements of one cell as if they were one, without those of single requests."""
    answers = [answer for measurement in measurements for answer in measurement.answers]
    whole = Measurement(measurements[0].cell, answers, sum(measurement.seconds for measurement in measurements))
    figures = result_of(whole, model, {})
    # Neither means anything across pauses.
    dropped = ("max_output_tokens_per_s", "max_concurrent_requests")
    return {key: value for key, value in figures.items() if not isinstance(value, list) and key not in dropped}
