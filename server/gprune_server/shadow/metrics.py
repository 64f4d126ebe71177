"""Prometheus metrics of shadow quality."""

from typing import Literal, get_args

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from gprune_server.observe.ratio_bucket import ratio_bucket
from gprune_server.shadow.verdict import Verdict
from gprune_vllm.account import VisualTokenAccount

Outcome = Literal["judged", "skipped_load", "skipped_allowance", "skipped_length", "failed"]
SHARES = (0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)
NATS = (0, 0.001, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)
LABELS = ("ratio_bucket", "method", "source")


class ShadowMetrics:
    """Counts answers that were chosen to be judged, and exposes the verdicts and what follows from them.

    Args:
        registry: registry of the collectors; vLLM's `/metrics` exposes the default one.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._agreement = Histogram(
            "gprune_shadow_agreement",
            "Share of an answer's tokens that the unpruned model would have put first.",
            LABELS,
            buckets=SHARES,
            registry=registry,
        )
        self._gap = Histogram(
            "gprune_shadow_logprob_gap",
            "How far an answer's tokens are below the unpruned model's first choice, on average, in nats.",
            LABELS,
            buckets=NATS,
            registry=registry,
        )
        self._outcomes = Counter(
            "gprune_shadow",
            "Answers that were chosen to be judged, by what became of it.",
            ["outcome"],
            registry=registry,
        )
        self._ratio = Gauge(
            "gprune_agreement_prune_ratio",
            "Largest ratio that measured agreement allows the server to choose, or 1 if there is no limit.",
            registry=registry,
            multiprocess_mode="min",
        )
        self._ratio.set(1)
        for outcome in get_args(Outcome):
            self._outcomes.labels(outcome)

    def ended(self, outcome: Outcome) -> None:
        """Count an answer that was chosen."""
        self._outcomes.labels(outcome).inc()

    def limited(self, ratio: float) -> None:
        """Expose the largest ratio that the server may choose."""
        self._ratio.set(ratio)

    def judged(self, account: VisualTokenAccount, verdict: Verdict) -> None:
        """Observe a verdict."""
        labels = ratio_bucket(account.ratio), account.method, account.source
        self._agreement.labels(*labels).observe(verdict.agreement)
        self._gap.labels(*labels).observe(verdict.gap)
