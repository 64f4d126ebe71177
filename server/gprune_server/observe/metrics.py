"""Prometheus metrics of pruning in the API process."""

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from vllm.v1.metrics.buckets import histogram_buckets

from gprune_server.observe.observation import Outcome, PromptRecord
from gprune_server.observe.ratio_bucket import RATIO_BUCKETS, ratio_bucket
from gprune_server.observe.tenant_metrics import TenantMetrics
from gprune_vllm.adapter.refusal import REASONS
from gprune_vllm.decoder_shape import DecoderShape
from gprune_vllm.settings import PruneSettings

COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "requests": ("Prompts with images or videos.", ("method", "source")),
    "images": ("Images in prompts.", ("ratio_bucket",)),
    "videos": ("Videos in prompts.", ("ratio_bucket",)),
    "visual_tokens": ("Visual tokens in prompts, before pruning (input) and after pruning (kept).", ("stage",)),
    "prompt_tokens_saved": ("Prompt tokens saved by pruning.", ()),
    "kv_cache_saved_bytes": ("Bytes of KV cache saved by pruning.", ()),
    "prefill_saved_flops": ("Floating-point operations that pruning saved in the prefill of the language model.", ()),
    "generation_tokens": ("Tokens generated for prompts with images or videos.", ("ratio_bucket",)),
    "refusals": ("Requests refused because of their pruning fields.", ("reason",)),
}
"""Help text and labels of each counter, by name without the prefix `gprune_`."""


class PruneMetrics:
    """Observer that counts prompts with images or videos.

    Args:
        settings: the server's settings.
        shape: shape of the language model, which determines the savings; None where these cannot be told.
        kv_element_size: bytes per number in the KV cache.
        registry: registry of the collectors; vLLM's `/metrics` exposes the default one.
    """

    def __init__(
        self,
        settings: PruneSettings,
        shape: DecoderShape | None,
        kv_element_size: int,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._settings, self._shape, self._kv_element_size = settings, shape, kv_element_size
        self._counters = {
            name: Counter(f"gprune_{name}", text, labels, registry=registry)
            for name, (text, labels) in COUNTERS.items()
        }
        self._ratio = Histogram(
            "gprune_prune_ratio",
            "Pruning ratio applied to prompts with images or videos.",
            buckets=[0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1],
            registry=registry,
        )
        self._adaptive_ratio = Gauge(
            "gprune_adaptive_prune_ratio",
            "Current ratio of requests that set none, from the adaptive policy or the default.",
            registry=registry,
            multiprocess_mode="max",
        )
        self._default, self._limit = (
            Gauge(f"gprune_{name}_prune_ratio", text, registry=registry, multiprocess_mode="max")
            for name, text in (
                ("default", "Default pruning ratio."),
                ("max", "Largest pruning ratio that a request may set, or 1 if there is no limit."),
            )
        )
        self.limited(settings)
        self.adapted(settings.default_prune_ratio)
        self._tenants = TenantMetrics(registry)
        self._create_latencies(registry)
        self._expose_zeros()

    def _create_latencies(self, registry: CollectorRegistry) -> None:
        first, between, whole = (
            histogram_buckets(family) for family in ("time_to_first_token", "inter_token_latency", "request_latency")
        )
        named = {
            "time_to_first_token": ("Time to first token of prompts with images or videos.", first),
            "inter_token_latency": ("Mean time between output tokens of prompts with images or videos.", between),
            "e2e_request_latency": ("End-to-end latency of prompts with images or videos.", whole),
            "request_queue_time": ("Time that prompts with images or videos spend in the queue.", whole),
        }
        self._latencies = {
            name: Histogram(f"gprune_{name}_seconds", text, ["ratio_bucket"], buckets=buckets, registry=registry)
            for name, (text, buckets) in named.items()
        }

    def _expose_zeros(self) -> None:
        """Create all series that are known in advance at zero, so that queries find them."""
        for stage in ("input", "kept"):
            self._counters["visual_tokens"].labels(stage)
        for method in self._settings.methods:
            for source in ("request", "default" if self._settings.prune_policy == "fixed" else "adaptive"):
                self._counters["requests"].labels(method, source)
        for reason in REASONS:
            self._counters["refusals"].labels(reason)
        for bucket in RATIO_BUCKETS:
            counted = (self._counters[name] for name in ("images", "videos", "generation_tokens"))
            for collector in (*counted, *self._latencies.values()):
                collector.labels(bucket)

    def describe(self, model_name: str, version: str, registry: CollectorRegistry = REGISTRY) -> None:
        """Expose the served model and its settings. The gauge is 1, because `Info` does not work across processes."""
        labels = {
            "model_name": model_name,
            "method": self._settings.prune_method,
            "stage": self._settings.prune_stage,
            "positions": self._settings.prune_positions,
            "version": version,
        }
        info = Gauge(
            "gprune_info", "Served model and pruning settings.", [*labels], registry=registry, multiprocess_mode="max"
        )
        info.labels(**labels).set(1)

    def limited(self, settings: PruneSettings) -> None:
        """Expose the default and the largest ratio in force."""
        self._default.set(settings.default_prune_ratio)
        self._limit.set(1.0 if settings.max_prune_ratio is None else settings.max_prune_ratio)

    def started(self, prompt: PromptRecord) -> None:
        """Count a prompt that is sent to the engine."""
        account, tokens = prompt.account, prompt.prompt_tokens
        dropped = account.input - account.kept
        self._counters["requests"].labels(account.method, account.source).inc()
        self._counters["images"].labels(ratio_bucket(account.ratio)).inc(account.images)
        self._counters["videos"].labels(ratio_bucket(account.ratio)).inc(account.videos)
        self._counters["visual_tokens"].labels("input").inc(account.input)
        self._counters["visual_tokens"].labels("kept").inc(account.kept)
        self._tenants.started(account)
        self._ratio.observe(account.ratio)
        self._counters["prompt_tokens_saved"].inc(dropped)
        if self._shape is not None:
            self._count_savings(self._shape, tokens, dropped)

    def _count_savings(self, shape: DecoderShape, tokens: int, dropped: int) -> None:
        self._counters["kv_cache_saved_bytes"].inc(shape.kv_cache_bytes(dropped, self._kv_element_size))
        self._counters["prefill_saved_flops"].inc(shape.prefill_flops(tokens + dropped) - shape.prefill_flops(tokens))

    def ended(self, prompt: PromptRecord, outcome: Outcome | None) -> None:
        """Observe the latencies of a prompt that finished."""
        if outcome is None:
            return
        bucket = ratio_bucket(prompt.account.ratio)
        self._counters["generation_tokens"].labels(bucket).inc(outcome.tokens)
        self._latencies["time_to_first_token"].labels(bucket).observe(outcome.time_to_first_token)
        self._latencies["request_queue_time"].labels(bucket).observe(outcome.queue_time)
        self._latencies["e2e_request_latency"].labels(bucket).observe(outcome.end_to_end)
        if outcome.inter_token is not None:
            self._latencies["inter_token_latency"].labels(bucket).observe(outcome.inter_token)

    def adapted(self, ratio: float) -> None:
        """Expose the current ratio of requests that set none."""
        self._adaptive_ratio.set(ratio)

    def refused(self, reason: str, tenant: str = "") -> None:
        """Count a request refused because of its pruning fields."""
        self._counters["refusals"].labels(reason).inc()
        self._tenants.refused(reason, tenant)
