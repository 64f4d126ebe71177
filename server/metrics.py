"""Prometheus metrics of pruning, counted in the API process."""

from prometheus_client import REGISTRY, CollectorRegistry, Counter

from gprune_vllm.account import VisualTokenAccount


class PruneMetrics:
    """The collectors, and how a request is counted.

    Args:
        registry: where the collectors register; vLLM's `/metrics` exposes the default one.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._requests = Counter("gprune_requests", "Prompts with images.", registry=registry)
        self._visual_tokens = Counter(
            "gprune_visual_tokens",
            "Visual tokens of prompts with images, before pruning (input) and after it (kept).",
            ["stage"],
            registry=registry,
        )
        for stage in ("input", "kept"):  # both are exposed before the first request
            self._visual_tokens.labels(stage)

    def count(self, account: VisualTokenAccount) -> None:
        """Count one prompt with images."""
        self._requests.inc()
        self._visual_tokens.labels("input").inc(account.input)
        self._visual_tokens.labels("kept").inc(account.kept)
