"""What a server's metrics say of the answers that it judged."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import NamedTuple, Self

import httpx
from prometheus_client.parser import text_string_to_metric_families

from evaluation.failure import EvaluationError

PATIENCE = 60
"""Seconds until the last answer must be judged."""
PREFIX = "gprune_shadow_"


class Verdicts(NamedTuple):
    """Number of judged answers, and the sums of their agreements and gaps."""

    number: float
    agreement: float
    gap: float


class VerdictReader:
    """Reads how much the metrics of shadow quality grew since the last look. Nobody else may ask the server.

    Args:
        url: of the server, which judges all of its answers (`--prune-shadow-fraction 1`).
    """

    def __init__(self, url: str) -> None:
        self._client, self._url = httpx.Client(timeout=PATIENCE), f"{url}/metrics"
        self._last: Mapping[str, float] = self._totals()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def read(self, answers: int) -> Verdicts:
        """Wait until as many answers are judged or skipped, and return the verdicts on them.

        Raises:
            EvaluationError: that takes too long, or none was judged.
        """
        deadline = time.monotonic() + PATIENCE
        while (grown := self._growth())["total"] < answers:
            if time.monotonic() > deadline:
                raise EvaluationError(
                    f"it considered {grown['total']:.0f} of {answers} answers. Choose another --output: answers "
                    "that are there already are not judged again"
                )
            time.sleep(0.1)
        self._last = self._totals()
        if not grown["agreement_count"]:
            raise EvaluationError("the server judged no answer: it has no room. Lower --concurrency")
        return Verdicts(grown["agreement_count"], grown["agreement_sum"], grown["logprob_gap_sum"])

    def _growth(self) -> dict[str, float]:
        return {name: value - self._last[name] for name, value in self._totals().items()}

    def _totals(self) -> dict[str, float]:
        """Return the sums over all labels, by name without its prefix."""
        totals = dict.fromkeys(("total", "agreement_count", "agreement_sum", "logprob_gap_sum"), 0.0)
        for family in text_string_to_metric_families(self._client.get(self._url).text):
            for sample in family.samples:
                name = sample.name.removeprefix(PREFIX)
                if sample.name.startswith(PREFIX) and name in totals:
                    totals[name] += sample.value
        return totals
