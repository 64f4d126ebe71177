"""Pruning attributes on vLLM's OpenTelemetry spans."""

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider

from gprune_server.observe.observation import Outcome, PromptRecord
from gprune_vllm.account import VisualTokenAccount

_REQUEST_SPAN = "llm_request"


class SpanAnnotator(SpanProcessor):
    """Observer that adds `gprune.*` attributes to the span that vLLM creates for each finished request.

    A processor can add attributes only when a span starts, and vLLM's span does not have its request id by then. Its
    start time, however, equals the arrival time of the prompt to the nanosecond, which identifies the prompt.
    """

    def __init__(self) -> None:
        self._accounts: dict[int, VisualTokenAccount] = {}

    def started(self, prompt: PromptRecord) -> None:
        self._accounts[_nanoseconds(prompt)] = prompt.account

    def ended(self, prompt: PromptRecord, outcome: Outcome | None) -> None:
        self._accounts.pop(_nanoseconds(prompt), None)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        account = self._accounts.get(span.start_time or 0) if span.name == _REQUEST_SPAN else None
        if account is not None:
            span.set_attribute("gprune.prune_ratio", account.ratio)
            span.set_attribute("gprune.method", account.method)
            span.set_attribute("gprune.visual_tokens.input", account.input)
            span.set_attribute("gprune.visual_tokens.kept", account.kept)


def _nanoseconds(prompt: PromptRecord) -> int:
    return int(prompt.arrival_time * 1e9)  # as vLLM computes the start of a span


def annotate_spans() -> SpanAnnotator | None:
    """Add an annotator to vLLM's tracing. Return None if tracing is off."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        return None
    annotator = SpanAnnotator()
    provider.add_span_processor(annotator)
    return annotator
