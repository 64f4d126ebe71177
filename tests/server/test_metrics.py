"""The collectors expose what was counted, to the letter."""

from prometheus_client import CollectorRegistry, generate_latest

from gprune_vllm.account import VisualTokenAccount
from server.metrics import PruneMetrics

EXPOSITION = """\
# HELP gprune_requests_total Prompts with images.
# TYPE gprune_requests_total counter
gprune_requests_total 2.0
# HELP gprune_visual_tokens_total Visual tokens of prompts with images, before pruning (input) and after it (kept).
# TYPE gprune_visual_tokens_total counter
gprune_visual_tokens_total{stage="input"} 300.0
gprune_visual_tokens_total{stage="kept"} 160.0
"""


def exposed(registry: CollectorRegistry) -> str:
    """The registry's exposition without creation times."""
    text = generate_latest(registry).decode()
    return "".join(line for line in text.splitlines(keepends=True) if "_created" not in line)


def test_counts_are_exposed_to_the_letter() -> None:
    registry = CollectorRegistry()
    metrics = PruneMetrics(registry)
    metrics.count(VisualTokenAccount(input=200, kept=60, ratio=0.7))
    metrics.count(VisualTokenAccount(input=100, kept=100, ratio=0.0))
    assert exposed(registry) == EXPOSITION


def test_both_stages_are_there_before_the_first_request() -> None:
    registry = CollectorRegistry()
    PruneMetrics(registry)
    for stage in ("input", "kept"):
        assert registry.get_sample_value("gprune_visual_tokens_total", {"stage": stage}) == 0
