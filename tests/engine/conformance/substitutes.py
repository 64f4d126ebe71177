"""What stands in for vLLM's own classes, and for helpers of its tests, in the process that runs vLLM's tests.

Only names in the modules of vLLM's tests are changed, never vLLM itself.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp
from transformers import AutoProcessor
from vllm.entrypoints.openai.chat_completion.protocol import BatchChatCompletionRequest, ChatCompletionRequest
from vllm.entrypoints.openai.responses.protocol import ResponsesRequest
from vllm.entrypoints.serve.middleware.authenticate import AuthenticationMiddleware
from vllm.multimodal.media import ImageMediaIO, MediaConnector, MediaWithBytes
from vllm.multimodal.utils import fetch_image
from vllm.renderers.online_renderer import OnlineRenderer

from gprune_server.api.renderer import PruneRenderer
from gprune_server.api.schema import PrunableBatchRequest, PrunableChatRequest, PrunableResponsesRequest
from gprune_server.choosing.choices import Choices
from gprune_server.choosing.chooser import Chooser
from gprune_server.guard.authentication import Authentication
from gprune_server.guard.image_io import GuardedImageIO
from gprune_server.guard.limits import Limits
from gprune_server.guard.media import GuardedMediaConnector
from gprune_server.observe.metrics import PruneMetrics
from gprune_vllm.decoder_shape import DecoderShape
from gprune_vllm.settings import PruneSettings

CHOICES = Choices(PruneSettings.load())
HELPERS: dict[str, dict[str, Any]] = {}
"""Helpers of vLLM's tests to replace, by module and name."""


def helper(module: str) -> Callable[[Any], Any]:
    """Register a replacement for a module's function of the same name."""

    def register(function: Any) -> Any:
        HELPERS.setdefault(module, {})[function.__name__] = function
        return function

    return register


@helper("tests.entrypoints.multimodal.openai.chat_completion.test_vision")
def get_hf_prompt_tokens(model_name: str, content: str, image_url: str) -> int:
    """The length of a prompt by Transformers: upstream's writes the placeholder of another model."""
    processor = AutoProcessor.from_pretrained(model_name)
    image = fetch_image(image_url)
    image = image.media if isinstance(image, MediaWithBytes) else image
    parts = [{"type": "image"}, {"type": "text", "text": content}]
    prompt = processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
    ids = processor(images=[image], text=prompt, add_special_tokens=False, return_tensors="pt").input_ids
    return int(ids.shape[1])


@helper("tests.conftest")
def cleanup_dist_env_and_memory() -> None:
    """Nothing: no test here leaves a distributed environment, and looking for one takes a second after each."""


class Renderer(PruneRenderer):
    """A renderer that is made like vLLM's own, by `__new__` alone if need be."""

    _trust_client = False
    chooser, _max_sequences = Chooser(lambda: CHOICES), Limits.load().max_request_sequences
    _metrics = PruneMetrics(CHOICES.settings, DecoderShape(8, 8, 1, 1, 1, 8), 2, CollectorRegistry())

    def __init__(self, *arguments: Any, **named: Any) -> None:
        names = ("model_config", "renderer")
        named |= dict(zip(names, arguments, strict=False))
        super().__init__(self.chooser, self._metrics, self._max_sequences, **named)


class Keyed(Authentication):
    """Authentication that is given its keys at once, as vLLM's own is."""

    def __init__(self, app: ASGIApp, tokens: list[str]) -> None:
        AuthenticationMiddleware.__init__(self, app, tokens)


def ours() -> dict[Any, Any]:
    """What the plugin puts in the place of each of vLLM's classes."""
    limits = Limits.load()
    domains = ["127.0.0.1", "example.com", "nonexistent.example"]
    return {
        AuthenticationMiddleware: Keyed,
        BatchChatCompletionRequest: PrunableBatchRequest,
        ChatCompletionRequest: PrunableChatRequest,
        ImageMediaIO: partial(GuardedImageIO, limits.max_image_pixels, limits.max_image_bytes),
        MediaConnector: partial(GuardedMediaConnector, allowed_media_domains=domains),
        OnlineRenderer: Renderer,
        ResponsesRequest: PrunableResponsesRequest,
    }


def substitute(table: dict[Any, Any], items: Sequence[pytest.Item]) -> None:
    """Put `table` and `HELPERS` into effect in all loaded modules of vLLM's tests, and in their parameters."""
    for name, module in list(sys.modules.items()):
        if name.startswith("tests."):
            _substitute_in(module, table)
            vars(module).update(HELPERS.get(name, {}))
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        parameters.update({name: _replacement(value, table) for name, value in parameters.items()})


def _substitute_in(module: ModuleType, table: dict[Any, Any]) -> None:
    for name, value in list(vars(module).items()):
        setattr(module, name, _replacement(value, table))


def _replacement(value: Any, table: dict[Any, Any]) -> Any:
    return table.get(value, value) if isinstance(value, type) else value
