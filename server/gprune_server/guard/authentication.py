"""API-key authentication."""

from http import HTTPStatus

import vllm.envs
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from vllm.entrypoints.serve.engine.protocol import ErrorInfo, ErrorResponse
from vllm.entrypoints.serve.middleware.authenticate import AuthenticationMiddleware

from gprune_server import playground

OPEN = frozenset(
    ("/health", "/ping", "/metrics", "/load", "/version", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json")
)
"""Paths that need no key: probes, metrics and API documentation."""


class Authentication(AuthenticationMiddleware):
    """Changes against `vllm.entrypoints.serve.middleware.authenticate.AuthenticationMiddleware` (vLLM 0.32):

    - every path except those in `OPEN` and the playground's requires a key; upstream requires none outside `/v1`,
      `/v2`, `/inference` and `/cohere`, and so leaves open `/invocations`, which generates, and `/scale_elastic_ep`;
    - the 401 has the format of OpenAI's API.
    """

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app, tokens=[])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope.get("method") == "OPTIONS" or self._may_pass(scope):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await unauthorized_response()(scope, receive, send)

    def _may_pass(self, scope: Scope) -> bool:
        if not self.api_tokens:  # the constructor does not know the application yet
            AuthenticationMiddleware.__init__(self, self.app, keys_of(scope["app"].state.args.api_key))
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return not self.api_tokens or path in OPEN | playground.PATHS or self.verify_token(Headers(scope=scope))


def keys_of(flag: list[str] | None) -> list[str]:
    """Return the server's keys: those of vLLM's `--api-key`, or else the one in `VLLM_API_KEY`."""
    return [key for key in (flag or [vllm.envs.VLLM_API_KEY]) if key]


def unauthorized_response() -> JSONResponse:
    """Return a 401 in the format of OpenAI's API."""
    status = HTTPStatus.UNAUTHORIZED
    message = "The API key is missing or incorrect. Send it as `Authorization: Bearer KEY`."
    error = ErrorResponse(error=ErrorInfo(message=message, type="AuthenticationError", code=status))
    return JSONResponse(error.model_dump(), status_code=status, headers={"WWW-Authenticate": "Bearer"})
