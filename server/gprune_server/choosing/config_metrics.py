"""Prometheus metrics of the file in which the operator chooses pruning."""

from prometheus_client import REGISTRY, CollectorRegistry, Gauge

HASH_BYTES = 6
"""Leading bytes of the content's SHA-256 digest that are exposed: as many as a float holds exactly."""


class ConfigMetrics:
    """Exposes which content of the file is in force.

    Args:
        registry: registry of the collectors; vLLM's `/metrics` exposes the default one.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._generation = Gauge(
            "gprune_config_generation",
            "Number of contents of --prune-config that have been in force since the start.",
            registry=registry,
            multiprocess_mode="min",
        )
        self._hash = Gauge(
            "gprune_config_hash",
            "First 48 bits of the SHA-256 digest of the content of --prune-config that is in force.",
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        self._rejected = Gauge(
            "gprune_config_rejected",
            "1 while the file of --prune-config is invalid and the content before it stays in force.",
            registry=registry,
            multiprocess_mode="max",
        )

    def applied(self, generation: int, digest: bytes) -> None:
        """Expose the content that is in force now, by the SHA-256 digest."""
        self._generation.set(generation)
        self._hash.set(int.from_bytes(digest[:HASH_BYTES]))
        self._rejected.set(0)

    def rejected(self) -> None:
        """Expose that the file is invalid."""
        self._rejected.set(1)
