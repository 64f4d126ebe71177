"""Endpoint plugin: sets up the HTTP layer in vLLM's server."""

import os
from argparse import Namespace
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from prometheus_client import REGISTRY
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.middleware import Middleware
from vllm.config import VllmConfig
from vllm.config.model import get_served_model_name
from vllm.entrypoints.generate.api_router import init_generate_state
from vllm.entrypoints.serve.utils.request_logger import RequestLogger
from vllm.model_executor.model_loader import get_model_cls
from vllm.multimodal.media.connector import MEDIA_CONNECTOR_REGISTRY
from vllm.renderers.chat_utils import load_chat_template
from vllm.utils.torch_utils import get_kv_cache_torch_dtype

from gprune_server import playground
from gprune_server.adaptive import RatioPolicy
from gprune_server.api import invocations, models
from gprune_server.api.anthropic_errors import AnthropicErrors
from gprune_server.api.anthropic_messages import AnthropicMessages
from gprune_server.api.error_responses import with_handlers
from gprune_server.api.head import HeadAsGet
from gprune_server.api.renderer import PruneRenderer
from gprune_server.api.routes import reading, router
from gprune_server.api.usage import UsageReporter
from gprune_server.api.visual_tokens import VisualTokens
from gprune_server.choosing.choices import Choices
from gprune_server.choosing.chooser import Chooser
from gprune_server.choosing.headers import FIELDS_BY_HEADER, KeepHeaders
from gprune_server.choosing.live import LiveChoices
from gprune_server.choosing.presets import PresetNames
from gprune_server.choosing.settings import ChoosingSettings
from gprune_server.choosing.start import start_choices
from gprune_server.compatibility import renderer_options, resolve_default_chat_template_kwargs
from gprune_server.engine import ObservedEngine
from gprune_server.errors import handle_errors
from gprune_server.guard.authentication import Authentication
from gprune_server.guard.bodies import guard_bodies
from gprune_server.guard.body_limit import BodyLimit
from gprune_server.guard.in_flight import Admission, InFlight
from gprune_server.guard.limits import shared_limits
from gprune_server.guard.media import CONNECTOR_NAME, GuardedMediaConnector
from gprune_server.guard.placeholders import Placeholders
from gprune_server.guard.structure import StructureLimit
from gprune_server.guard.upstream_limits import apply_limits
from gprune_server.guard.validation import fail_fast_bodies
from gprune_server.observe.access_log import AccessLog
from gprune_server.observe.metrics import PruneMetrics
from gprune_server.observe.observation import Observer
from gprune_server.observe.tracing import annotate_spans
from gprune_server.pressure import EnginePressure, watch_pressure
from gprune_server.shadow.shadow import Shadow, start_shadow
from gprune_server.shutdown import Drain, DrainingEngine
from gprune_vllm.adapter.config import SETTINGS_ATTRIBUTE, settings_of
from gprune_vllm.adapter.timing import metrics_directory
from gprune_vllm.decoder_shape import DecoderShape, is_llama_like
from gprune_vllm.settings import PruneSettings

KEEP_ALIVE = 75
"""Seconds until an idle connection is closed. Load balancers keep connections for 60 seconds.

vLLM's default of 5 equals that of the openai client. uvloop runs timers before it reads, so a busy server can close a
connection on which the next request has already arrived, and the client gets a read error instead of a response."""
OUTERMOST = tuple(f"{each.__module__}.{each.__name__}" for each in (Authentication, AnthropicErrors, HeadAsGet))
"""Middleware by the names that vLLM's `--middleware` takes."""


class GPruneEndpointPlugin:
    """`vllm.plugins.endpoint_plugins.interface.EndpointPlugin` (vLLM 0.32) with support for pruning.

    If gprune supports the served model, vLLM's own function builds the generating handlers again, around a
    `PruneRenderer`. Limits on client requests apply with any model.
    """

    name = "gprune"
    required_tasks = ("generate",)

    def attach_router(self, app: FastAPI) -> None:
        app.include_router(router)
        app.include_router(reading)
        app.include_router(models.router)
        app.include_router(invocations.router)
        if PruneSettings.load().playground:
            app.include_router(playground.router)
        handle_errors(app)
        guard_bodies(app)
        fail_fast_bodies(app)
        _add_middleware(app)
        _register_connector()
        os.environ.setdefault("VLLM_HTTP_TIMEOUT_KEEP_ALIVE", str(KEEP_ALIVE))  # vLLM reads it later

    async def init_state(self, engine_client: Any, state: Any, args: Namespace) -> None:
        if engine_client is not None:
            apply_limits(engine_client)
            state.engine_client = DrainingEngine(engine_client, state.gprune_in_flight)
        state.gprune_serves = engine_client is not None and hasattr(
            engine_client.model_config.hf_config, SETTINGS_ATTRIBUTE
        )
        if state.gprune_serves:
            await _build_handlers(engine_client, state, args)


def _add_middleware(app: FastAPI) -> None:
    """Add this package's middleware, the innermost first."""
    in_flight = app.state.gprune_in_flight = InFlight()
    limits = shared_limits()
    app.user_middleware.append(Middleware(with_handlers))  # within that of vLLM's metrics, which is there already
    app.add_middleware(Admission, in_flight=in_flight)
    app.add_middleware(
        StructureLimit, most_values=limits.max_request_values, most_bytes=limits.max_request_structure_bytes
    )
    app.add_middleware(BodyLimit, max_bytes=limits.max_request_bytes)
    app.add_middleware(KeepHeaders)
    app.add_middleware(Drain, in_flight=in_flight)
    if ChoosingSettings.load().prune_headers and "*" not in app.state.args.allowed_headers:
        app.state.args.allowed_headers = [*app.state.args.allowed_headers, *FIELDS_BY_HEADER]  # for CORS
    # Outside of all others, vLLM's own authentication included: vLLM adds the middleware of its flag last.
    app.state.args.middleware = [*app.state.args.middleware, *OUTERMOST]


def _register_connector() -> None:
    """Register the media connector and make it the default."""
    if CONNECTOR_NAME not in MEDIA_CONNECTOR_REGISTRY.name2class:
        MEDIA_CONNECTOR_REGISTRY.register(CONNECTOR_NAME)(GuardedMediaConnector)
    os.environ.setdefault("VLLM_MEDIA_CONNECTOR", CONNECTOR_NAME)


async def _build_handlers(engine_client: Any, state: Any, args: Namespace) -> None:
    """Replace vLLM's generating handlers by ones that support pruning."""
    settings = settings_of(engine_client.model_config.hf_config)
    metrics = _metrics(settings, engine_client.vllm_config)
    request_logger = RequestLogger(max_log_len=args.max_log_len) if args.enable_log_requests else None
    limit = shared_limits().max_request_sequences
    pressure = watch_pressure(engine_client, settings.adaptive_waiting_requests)
    names = PresetNames(state.openai_serving_models)
    live = start_choices(settings, names.served, pressure is not None)
    shadow = start_shadow(live.current.settings, engine_client, pressure)
    chooser = _chooser(live, pressure, shadow, metrics)
    renderer = _renderer(chooser, metrics, limit, engine_client, args, request_logger)
    renderer.placeholders = state.gprune_placeholders = _placeholders(engine_client)
    state.online_renderer = state.serving_tokenization.online_renderer = renderer
    live.subscribe(names.follow)
    engine = ObservedEngine(engine_client, _observers(settings, metrics), limit, shadow)
    template_kwargs = resolve_default_chat_template_kwargs(args)
    await init_generate_state(engine, state, args, request_logger, ("generate",), template_kwargs)
    state.gprune_visual_tokens = VisualTokens(engine_client, state.openai_serving_models.model_name(), chooser)
    state.anthropic_serving_messages = AnthropicMessages(state.anthropic_serving_messages)
    for handler in ("openai_serving_chat", "openai_serving_chat_batch", "openai_serving_responses"):
        setattr(state, handler, UsageReporter(getattr(state, handler)))


def _chooser(
    live: LiveChoices, pressure: EnginePressure | None, shadow: Shadow | None, metrics: PruneMetrics
) -> Chooser:
    """Set up what chooses the pruning of requests, and have everything that depends on it follow its changes."""
    ceiling = None if shadow is None else shadow.ceiling

    def follow(choices: Choices) -> None:
        metrics.limited(choices.settings)
        if pressure is not None:
            pressure.waiting_requests = choices.settings.adaptive_waiting_requests
        if ceiling is not None:
            ceiling.follow(choices.settings)

    live.subscribe(follow)
    policy = RatioPolicy(
        lambda: live.current.settings, pressure, metrics.adapted, None if ceiling is None else ceiling.limit
    )
    policy.start()
    choosing = ChoosingSettings.load()
    return Chooser(lambda: live.current, policy, choosing.prune_headers, choosing.tenant_header)


def _renderer(
    chooser: Chooser,
    metrics: PruneMetrics,
    max_sequences: int,
    engine_client: Any,
    args: Namespace,
    request_logger: RequestLogger | None,
) -> PruneRenderer:
    """Create a renderer with the arguments of vLLM's `init_app_state`."""
    return PruneRenderer(
        chooser,
        metrics,
        max_sequences,
        model_config=engine_client.model_config,
        renderer=engine_client.renderer,
        request_logger=request_logger,
        chat_template=load_chat_template(args.chat_template),
        chat_template_content_format=args.chat_template_content_format,
        trust_request_chat_template=args.trust_request_chat_template,
        trust_request_mm_kwargs=args.trust_request_mm_kwargs,
        enable_auto_tools=args.enable_auto_tool_choice,
        tool_parser=args.tool_call_parser,
        tool_strict_level=args.tool_strict_level,
        reasoning_parser=args.structured_outputs_config.reasoning_parser,
        default_chat_template_kwargs=resolve_default_chat_template_kwargs(args),
        log_error_stack=args.log_error_stack,
        **renderer_options(args),
    )


def _placeholders(engine_client: Any) -> Placeholders:
    """Return the tokens that stand for an image in the served model's prompts."""
    renderer, config = engine_client.renderer, engine_client.model_config
    processor = renderer.get_mm_processor().info.get_hf_processor()
    return Placeholders.of(config.hf_config, processor, renderer.get_tokenizer(), get_model_cls(config))


def _observers(settings: PruneSettings, metrics: PruneMetrics) -> list[Observer]:
    """Create the observers of prompts with images."""
    optional = (annotate_spans(), AccessLog() if settings.prune_access_log else None)
    return [metrics, *(observer for observer in optional if observer is not None)]


def _metrics(settings: PruneSettings, vllm_config: VllmConfig) -> PruneMetrics:
    """Create this process's collectors, and collect those of the workers."""
    model_config, cache_dtype = vllm_config.model_config, vllm_config.cache_config.cache_dtype
    element_size = get_kv_cache_torch_dtype(cache_dtype, model_config.dtype).itemsize
    text_config = model_config.hf_text_config
    shape = DecoderShape.of(text_config) if is_llama_like(text_config) else None
    metrics = PruneMetrics(settings, shape, element_size)
    metrics.describe(get_served_model_name(model_config.model, model_config.served_model_name), version("gprune-vllm"))
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        MultiProcessCollector(REGISTRY, path=metrics_directory())
    return metrics
