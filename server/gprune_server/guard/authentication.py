"""API-key authentication."""

from argparse import Namespace
from http import HTTPStatus

import vllm.envs
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from vllm.entrypoints.serve.engine.protocol import ErrorInfo, ErrorResponse
from vllm.entrypoints.serve.middleware.authenticate import AuthenticationMiddleware

from gprune_server import playground

API_KEY = "x-api-key"
OPEN = frozenset(
    ("/health", "/ping", "/metrics", "/load", "/version", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json")
)
"""Paths that need no key: probes, metrics and API documentation."""

CORS = {
    "allow_origins": "allowed_origins",
    "allow_credentials": "allow_credentials",
    "allow_methods": "allowed_methods",
    "allow_headers": "allowed_headers",
}
"""Arguments of Starlette's middleware by the flags of vLLM that set them."""


class Authentication(AuthenticationMiddleware):
    """Changes against `vllm.entrypoints.serve.middleware.authenticate.AuthenticationMiddleware` (vLLM 0.32):

    - every path except those in `OPEN` and the playground's requires a key; upstream requires none outside `/v1`,
      `/v2`, `/inference` and `/cohere`, and so leaves open `/invocations`, which generates, and `/scale_elastic_ep`;
    - a key may also come as `x-api-key`, as Anthropic's clients send it;
    - the 401 has the format of OpenAI's API, and the headers that let a page of another origin read it.
    """

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app, tokens=[])

    def verify_token(self, headers: Headers) -> bool:
        verify = super().verify_token
        return bool(verify(headers) or verify(_bearer(headers)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope.get("method") == "OPTIONS" or self._may_pass(scope):
            await self.app(self._as_bearer(scope), receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            args = getattr(scope["app"].state, "args", Namespace())  # vLLM's tests have an application without
            await _readable(unauthorized_response(), args)(scope, receive, send)

    def _as_bearer(self, scope: Scope) -> Scope:
        """Return a scope in which vLLM's own authentication, within this one, finds a key sent as `x-api-key`."""
        headers = Headers(raw=scope.get("headers", []))
        if API_KEY not in headers or super().verify_token(headers):
            return scope
        others = [(name, value) for name, value in scope["headers"] if name != b"authorization"]
        return {**scope, "headers": [*others, *_bearer(headers).raw]}

    def _may_pass(self, scope: Scope) -> bool:
        if not self.api_tokens:  # the constructor does not know the application yet
            AuthenticationMiddleware.__init__(self, self.app, keys_of(scope["app"].state.args.api_key))
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return not self.api_tokens or path in OPEN | playground.PATHS or self.verify_token(Headers(scope=scope))


def keys_of(flag: list[str] | None) -> list[str]:
    """Return the server's keys: those of vLLM's `--api-key`, or else the one in `VLLM_API_KEY`."""
    return [key for key in (flag or [vllm.envs.VLLM_API_KEY]) if key]


def _bearer(headers: Headers) -> Headers:
    """Return the key of `x-api-key` as the header that vLLM reads."""
    return Headers({"Authorization": f"Bearer {headers.get(API_KEY, '')}"})


def _readable(response: ASGIApp, args: Namespace) -> ASGIApp:
    """Let pages of the allowed origins read a response, as vLLM does, whose middleware for it is within this one."""
    return CORSMiddleware(response, **{name: getattr(args, flag) for name, flag in CORS.items() if hasattr(args, flag)})


def unauthorized_response() -> JSONResponse:
    """Return a 401 in the format of OpenAI's API."""
    status = HTTPStatus.UNAUTHORIZED
    message = "The API key is missing or incorrect. Send it as `Authorization: Bearer KEY` or `x-api-key: KEY`."
    error = ErrorResponse(error=ErrorInfo(message=message, type="AuthenticationError", code=status))
    return JSONResponse(error.model_dump(), status_code=status, headers={"WWW-Authenticate": "Bearer"})
