"""Where the server has keys, every route asks for one but those of probes, Prometheus and documentation."""

from argparse import Namespace

import httpx
import pytest
from fastapi import FastAPI
from openai.types import ErrorObject
from starlette.middleware import Middleware
from vllm.entrypoints.serve.middleware.authenticate import AuthenticationMiddleware

from gprune_server.guard.authentication import OPEN, Authentication

PAGE = "https://page.example"
GUARDED = ("/v1/models", "/tokenize", "/invocations", "/scale_elastic_ep", "/playground/../v1/models", "/healthy", "/")


def application(keys: list[str] | None) -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.args = Namespace(api_key=keys, allowed_origins=[PAGE], allowed_methods=["*"], allowed_headers=["*"])
    app.add_middleware(Authentication)
    app.add_api_route("/{path:path}", lambda: "reached")
    return app


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server")


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    return monkeypatch


@pytest.mark.asyncio
@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize("header", [None, "", "secret", "Bearer", "Bearer wrong", "Basic secret", "Bearer secret2"])
async def test_other_routes_ask_for_a_key(path: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    async with client_of(application(["secret"])) as client:
        answer = await client.get(path, headers=headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    error = answer.json()["error"]
    assert ErrorObject.model_validate(error | {"code": str(error["code"])}, strict=True).param is None


@pytest.mark.asyncio
@pytest.mark.parametrize("path", sorted(OPEN))
async def test_probes_and_documentation_are_open(path: str) -> None:
    async with client_of(application(["secret"])) as client:
        assert (await client.get(path)).json() == "reached"


@pytest.mark.asyncio
@pytest.mark.parametrize("key", ["secret", "second"])
async def test_any_of_the_keys_opens(key: str) -> None:
    async with client_of(application(["secret", "second"])) as client:
        assert (await client.get("/v1/models", headers={"Authorization": f"Bearer {key}"})).json() == "reached"


@pytest.mark.asyncio
async def test_the_key_may_come_from_the_environment(no_key_in_the_environment: pytest.MonkeyPatch) -> None:
    no_key_in_the_environment.setenv("VLLM_API_KEY", "secret")
    async with client_of(application(None)) as client:
        assert (await client.get("/v1/models")).status_code == 401


@pytest.mark.asyncio
async def test_without_keys_all_is_open() -> None:
    async with client_of(application(None)) as client:
        assert (await client.get("/v1/models")).json() == "reached"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": "secret"},
        {"X-Api-Key": "secret", "Authorization": "Bearer wrong"},
        {"x-api-key": "wrong", "Authorization": "Bearer secret"},
    ],
)
async def test_the_key_may_come_as_anthropics_clients_send_it(headers: dict[str, str]) -> None:
    app = application(["secret"])
    app.user_middleware.append(Middleware(AuthenticationMiddleware, tokens=["secret"]))  # vLLM's own, within ours
    async with client_of(app) as client:
        assert (await client.get("/v1/models", headers=headers)).json() == "reached"


@pytest.mark.asyncio
@pytest.mark.parametrize("key", ["", "wrong", "Bearer secret"])
async def test_a_wrong_key_opens_nothing_however_it_comes(key: str) -> None:
    async with client_of(application(["secret"])) as client:
        assert (await client.get("/v1/models", headers={"x-api-key": key})).status_code == 401


@pytest.mark.asyncio
@pytest.mark.parametrize(("origin", "allowed"), [(PAGE, PAGE), ("https://other.example", None)])
async def test_pages_of_allowed_origins_can_read_the_refusal(origin: str, allowed: str | None) -> None:
    async with client_of(application(["secret"])) as client:
        answer = await client.get("/v1/models", headers={"Origin": origin})
    assert (answer.status_code, answer.headers.get("Access-Control-Allow-Origin")) == (401, allowed)
