"""What pruning did to a request, on vLLM's own OpenTelemetry span of it."""

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider

from gprune_server.observe.observation import Outcome, PromptRecord
from gprune_vllm.account import VisualTokenAccount

_REQUEST_SPAN = "llm_request"


class SpanAnnotator(SpanProcessor):
    """An observer that adds `gprune.*` attributes to the spans that vLLM makes of requests when they finish.

    A span takes attributes from the moment it starts until it ends, and vLLM's knows its request only at the very
    end. But it starts, to the nanosecond, at the time the prompt was rendered: that tells whose it is.
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
    return int(prompt.arrival_time * 1e9)  # as vLLM computes its span's start


def annotate_spans() -> SpanAnnotator | None:
    """Join vLLM's tracing; None where it is off."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        return None
    annotator = SpanAnnotator()
    provider.add_span_processor(annotator)
    return annotator
