"""vLLM's entry point into the HTTP layer."""

from argparse import Namespace
from functools import cache
from typing import Any

from fastapi import FastAPI
from vllm.config import ModelConfig
from vllm.entrypoints.generate.api_router import init_generate_state
from vllm.entrypoints.launchers.cli_args import resolve_default_chat_template_kwargs
from vllm.entrypoints.serve.utils.request_logger import RequestLogger
from vllm.renderers.chat_utils import load_chat_template

from gprune_vllm.config import SETTINGS_ATTRIBUTE, settings_of
from server.metrics import PruneMetrics
from server.renderer import PruneRenderer
from server.routes import router
from server.usage import UsageReporter


class GPruneEndpointPlugin:
    """`vllm.plugins.endpoint_plugins.interface.EndpointPlugin` (vLLM 0.32) for servers of LLaVA-NeXT.

    Generating handlers are built anew, by vLLM's own function, around a renderer that knows `prune_ratio`. A server
    of another model keeps its own.
    """

    name = "gprune"
    required_tasks = ("generate",)

    def attach_router(self, app: FastAPI) -> None:
        app.include_router(router)

    async def init_state(self, engine_client: Any, state: Any, args: Namespace) -> None:
        state.gprune_serves = engine_client is not None and hasattr(
            engine_client.model_config.hf_config, SETTINGS_ATTRIBUTE
        )
        if not state.gprune_serves:
            return
        settings = settings_of(engine_client.model_config.hf_config)
        request_logger = RequestLogger(max_log_len=args.max_log_len) if args.enable_log_requests else None
        state.online_renderer = _renderer(engine_client.model_config, engine_client.renderer, args, request_logger)
        await init_generate_state(
            engine_client, state, args, request_logger, ("generate",), resolve_default_chat_template_kwargs(args)
        )
        for handler in ("openai_serving_chat", "openai_serving_chat_batch", "openai_serving_responses"):
            setattr(state, handler, UsageReporter(getattr(state, handler), settings.prune_method))


def _renderer(
    model_config: ModelConfig, renderer: Any, args: Namespace, request_logger: RequestLogger | None
) -> PruneRenderer:
    """A renderer with the arguments that vLLM's `init_app_state` gives to its own."""
    return PruneRenderer(
        settings_of(model_config.hf_config),
        _metrics(),
        model_config=model_config,
        renderer=renderer,
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
    )


@cache
def _metrics() -> PruneMetrics:
    """The process's collectors: a registry takes each name once."""
    return PruneMetrics()
