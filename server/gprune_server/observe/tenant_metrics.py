"""Prometheus metrics by tenant."""

from prometheus_client import CollectorRegistry, Counter

from gprune_server.observe.ratio_bucket import ratio_bucket
from gprune_vllm.account import VisualTokenAccount


class TenantMetrics:
    """Counts prompts with images or videos by who sent them. It counts nothing while there are no tenants."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "gprune_tenant_requests",
            "Prompts with images or videos, by tenant.",
            ["tenant", "ratio_bucket", "source"],
            registry=registry,
        )
        self._tokens = Counter(
            "gprune_tenant_visual_tokens",
            "Visual tokens in prompts by tenant, before pruning (input) and after pruning (kept).",
            ["tenant", "stage"],
            registry=registry,
        )
        self._refusals = Counter(
            "gprune_tenant_refusals",
            "Requests refused because of their pruning fields, by tenant.",
            ["tenant", "reason"],
            registry=registry,
        )

    def started(self, account: VisualTokenAccount) -> None:
        """Count a prompt that is sent to the engine."""
        if account.tenant:
            self._requests.labels(account.tenant, ratio_bucket(account.ratio), account.source).inc()
            self._tokens.labels(account.tenant, "input").inc(account.input)
            self._tokens.labels(account.tenant, "kept").inc(account.kept)

    def refused(self, reason: str, tenant: str) -> None:
        """Count a request refused because of its pruning fields."""
        if tenant:
            self._refusals.labels(tenant, reason).inc()
