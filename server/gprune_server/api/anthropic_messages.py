"""Handler of Anthropic's routes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from itertools import islice
from typing import Any

from vllm.logger import init_logger

from gprune_server.api.description import describe
from gprune_server.api.places import NODES, containers, path_text
from gprune_server.errors import RequestError

logger = init_logger(f"vllm.{__name__}")

UPSTREAMS, ANTHROPICS = '"type":"internal_error"', '"type":"api_error"'
"""An error's type in the events of a stream."""
SOURCES = {"base64": "data", "url": "url"}
"""Types of an image's source, with the field that holds the image."""


class AnthropicMessages:
    """Wraps `vllm.entrypoints.anthropic.serving.AnthropicServingMessages` (vLLM 0.32). Changes:

    - errors say where they are, and leave no traceback in the log unless they are the server's;
    - images without a source are refused; upstream leaves them out;
    - errors within a stream have a type of Anthropic's API.
    """

    def __init__(self, handler: Any) -> None:
        self._handler = handler

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handler, name)

    async def create_messages(self, request: Any, raw_request: Any = None) -> Any:
        created = await _described(self._handler.create_messages, request, raw_request)
        return _with_types(created) if hasattr(created, "__aiter__") else created

    async def count_tokens(self, request: Any, raw_request: Any = None) -> Any:
        return await _described(self._handler.count_tokens, request, raw_request)


async def _described(call: Callable[[Any, Any], Awaitable[Any]], request: Any, raw_request: Any) -> Any:
    """Call a method of the handler, and return its errors described."""
    body = await raw_request.json()
    try:
        check_sources(body)
        return await call(request, raw_request)
    except Exception as error:  # as upstream, which describes none of them
        described = describe(error, body)
        if described.error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.exception("Request failed")
        return described


def check_sources(body: Any) -> None:
    """Check that each image of a body has a source.

    Raises:
        RequestError: one has none.
    """
    for path, block in islice(containers(body.get("messages")), NODES):
        if isinstance(block, dict) and block.get("type") == "image" and "content" in path:
            source = block.get("source")
            field = SOURCES.get(source.get("type", "base64")) if isinstance(source, dict) else None
            if field is None or not isinstance(source.get(field), str):  # type: ignore[union-attr]
                place = path_text(("messages", *path, "source"))
                raise RequestError(
                    f'{place}: An image needs a source. Send {{"type": "base64", "media_type": "image/png", "data": '
                    '"iVBORw0KGgo..."} or {"type": "url", "url": "https://..."}.',
                    parameter=place,
                )


async def _with_types(events: AsyncIterator[str]) -> AsyncIterator[str]:
    async for event in events:
        yield event.replace(UPSTREAMS, ANTHROPICS, 1) if event.startswith("event: error") else event
