"""The collectors expose what was counted, to the letter."""

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from gprune_server.observe.metrics import PruneMetrics
from gprune_server.observe.observation import Outcome, PromptRecord
from gprune_server.observe.ratio_bucket import RATIO_BUCKETS, ratio_bucket
from gprune_vllm.account import VisualTokenAccount
from gprune_vllm.adapter.refusal import REASONS
from gprune_vllm.decoder_shape import DecoderShape
from gprune_vllm.defaults import METHOD
from gprune_vllm.settings import PruneSettings

SHAPE = DecoderShape(hidden_size=8, intermediate_size=16, layers=2, heads=2, kv_heads=1, head_size=4)
PRUNED = VisualTokenAccount(input=200, kept=60, ratio=0.7, images=2)
WHOLE = VisualTokenAccount(input=100, kept=100, ratio=0.0, images=1, source="default")
EXPOSITION = """\
# HELP gprune_requests_total Prompts with images or videos.
# TYPE gprune_requests_total counter
gprune_requests_total{method="gprune-blend",source="request"} 1.0
gprune_requests_total{method="gprune-blend",source="default"} 1.0
# HELP gprune_images_total Images in prompts.
# TYPE gprune_images_total counter
gprune_images_total{ratio_bucket="0"} 1.0
gprune_images_total{ratio_bucket="0-0.3"} 0.0
gprune_images_total{ratio_bucket="0.3-0.5"} 0.0
gprune_images_total{ratio_bucket="0.5-0.7"} 2.0
gprune_images_total{ratio_bucket="0.7-1"} 0.0
# HELP gprune_videos_total Videos in prompts.
# TYPE gprune_videos_total counter
gprune_videos_total{ratio_bucket="0"} 0.0
gprune_videos_total{ratio_bucket="0-0.3"} 0.0
gprune_videos_total{ratio_bucket="0.3-0.5"} 0.0
gprune_videos_total{ratio_bucket="0.5-0.7"} 0.0
gprune_videos_total{ratio_bucket="0.7-1"} 0.0
# HELP gprune_visual_tokens_total Visual tokens in prompts, before pruning (input) and after pruning (kept).
# TYPE gprune_visual_tokens_total counter
gprune_visual_tokens_total{stage="input"} 300.0
gprune_visual_tokens_total{stage="kept"} 160.0
# HELP gprune_prompt_tokens_saved_total Prompt tokens saved by pruning.
# TYPE gprune_prompt_tokens_saved_total counter
gprune_prompt_tokens_saved_total 140.0
# HELP gprune_kv_cache_saved_bytes_total Bytes of KV cache saved by pruning.
# TYPE gprune_kv_cache_saved_bytes_total counter
gprune_kv_cache_saved_bytes_total 4480.0
"""


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> PruneMetrics:
    return PruneMetrics(PruneSettings(), SHAPE, kv_element_size=2, registry=registry)


def exposed(registry: CollectorRegistry) -> str:
    """The registry's exposition without creation times."""
    text = generate_latest(registry).decode()
    return "".join(line for line in text.splitlines(keepends=True) if "_created" not in line)


def test_counts_are_exposed_to_the_letter(metrics: PruneMetrics, registry: CollectorRegistry) -> None:
    metrics.started(PromptRecord("a", PRUNED, prompt_tokens=100))
    metrics.started(PromptRecord("b", WHOLE, prompt_tokens=150))
    assert exposed(registry).startswith(EXPOSITION)


def test_saved_flops_are_those_of_the_longer_prompt(metrics: PruneMetrics, registry: CollectorRegistry) -> None:
    metrics.started(PromptRecord("a", PRUNED, prompt_tokens=100))
    saved = registry.get_sample_value("gprune_prefill_saved_flops_total")
    assert saved == SHAPE.prefill_flops(240) - SHAPE.prefill_flops(100)


def test_latencies_are_observed_under_their_ratio(metrics: PruneMetrics, registry: CollectorRegistry) -> None:
    prompt = PromptRecord("a", PRUNED, prompt_tokens=100)
    metrics.ended(prompt, Outcome(5, time_to_first_token=0.2, queue_time=0.1, end_to_end=1.0, inter_token=0.05))
    metrics.ended(prompt, Outcome(1, time_to_first_token=0.4, queue_time=0.1, end_to_end=1.0, inter_token=None))
    metrics.ended(prompt, None)
    label = {"ratio_bucket": "0.5-0.7"}
    assert registry.get_sample_value("gprune_time_to_first_token_seconds_sum", label) == pytest.approx(0.6)
    assert registry.get_sample_value("gprune_generation_tokens_total", label) == 6
    assert registry.get_sample_value("gprune_e2e_request_latency_seconds_count", label) == 2
    assert registry.get_sample_value("gprune_inter_token_latency_seconds_count", label) == 1


def test_every_series_known_in_advance_starts_at_zero(metrics: PruneMetrics, registry: CollectorRegistry) -> None:
    for reason in REASONS:
        assert registry.get_sample_value("gprune_refusals_total", {"reason": reason}) == 0
    for bucket in RATIO_BUCKETS:
        for name in ("time_to_first_token", "inter_token_latency", "e2e_request_latency", "request_queue_time"):
            assert registry.get_sample_value(f"gprune_{name}_seconds_count", {"ratio_bucket": bucket}) == 0


def test_prompts_are_counted_under_their_method(registry: CollectorRegistry) -> None:
    metrics = PruneMetrics(PruneSettings(prune_methods="tome,random"), SHAPE, kv_element_size=2, registry=registry)
    metrics.started(PromptRecord("a", replace(PRUNED, method="tome", budget=50), prompt_tokens=100))
    counts = [
        registry.get_sample_value("gprune_requests_total", {"method": method, "source": "request"})
        for method in (METHOD, "tome", "random", "divprune")
    ]
    assert counts == [0, 1, 0, None]


def test_prompts_whose_ratio_the_policy_chose_have_their_own_source(registry: CollectorRegistry) -> None:
    metrics = PruneMetrics(PruneSettings(prune_policy="adaptive"), SHAPE, kv_element_size=2, registry=registry)
    metrics.started(PromptRecord("a", replace(PRUNED, source="adaptive"), prompt_tokens=100))
    counts = [
        registry.get_sample_value("gprune_requests_total", {"method": METHOD, "source": source})
        for source in ("request", "adaptive", "default")
    ]
    assert counts == [0, 1, None]


def test_the_ratio_of_requests_that_name_none_is_exposed(registry: CollectorRegistry) -> None:
    metrics = PruneMetrics(PruneSettings(default_prune_ratio=0.3), SHAPE, kv_element_size=2, registry=registry)
    assert registry.get_sample_value("gprune_adaptive_prune_ratio") == 0.3
    metrics.adapted(0.525)
    assert registry.get_sample_value("gprune_adaptive_prune_ratio") == 0.525


def test_description_names_the_model_and_the_limits(metrics: PruneMetrics, registry: CollectorRegistry) -> None:
    metrics.describe("a model", "1.2.3", registry)
    labels = {"method": METHOD, "stage": "vision", "positions": "original"}
    info = registry.get_sample_value("gprune_info", {"model_name": "a model", "version": "1.2.3", **labels})
    assert info == registry.get_sample_value("gprune_max_prune_ratio") == 1
    assert registry.get_sample_value("gprune_default_prune_ratio") == 0


@pytest.mark.parametrize(
    ("ratio", "bucket"),
    [
        (0.0, "0"),
        (0.001, "0-0.3"),
        (0.3, "0-0.3"),
        (0.5, "0.3-0.5"),
        (0.51, "0.5-0.7"),
        (0.7, "0.5-0.7"),
        (0.999, "0.7-1"),
    ],
)
def test_upper_bounds_belong_to_their_bucket(ratio: float, bucket: str) -> None:
    assert ratio_bucket(ratio) == bucket
