"""A server follows its file of ratios, presets, tenants and a canary, and tells what is in force."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support import pool
from tests.support.photos import generated
from tests.support.questions import messages
from tests.support.servers import MODEL, Server
from tests.support.waiting import wait_until

PHOTO = generated(120, 90, 6)
ACME = {"Authorization": "Bearer key-of-acme"}
GENERATION, REJECTED = "gprune_config_generation", "gprune_config_rejected"


def chat(server: Server, headers: dict[str, str] | None = None, model: str = MODEL, **fields: Any) -> httpx.Response:
    body = {"model": model, "messages": messages([PHOTO]), "max_tokens": 1, **fields}
    return server.http.post("/v1/chat/completions", json=body, headers=headers)


def visual(response: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = response.json()["usage"]["visual_tokens"]
    return found


def put(server: Server, file: Path, **changes: Any) -> None:
    """Change the file, and wait until the server has put it in force."""
    before = server.metrics()[GENERATION]
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | changes))
    wait_until(lambda: server.metrics()[GENERATION] > before)


@pytest.fixture
def config(limited_server: Server, limited_config: Path) -> Iterator[Path]:
    """The file, whose first content is in force again afterwards."""
    before = limited_config.read_bytes()
    yield limited_config
    generation = limited_server.metrics()[GENERATION]
    if limited_config.read_bytes() != before:
        limited_config.write_bytes(before)
        wait_until(lambda: limited_server.metrics()[GENERATION] > generation)


def test_a_limit_and_presets_change_without_a_restart(limited_server: Server, config: Path) -> None:
    assert chat(limited_server, prune_ratio=0.7).status_code == 200
    presets = {"tiny-new": {"prune_ratio": 0.2}, "adapted-new": {"prune_ratio": 0.3, "model": pool.ADAPTER}}
    put(limited_server, config, max_prune_ratio=0.6, presets=presets)
    refused = chat(limited_server, prune_ratio=0.7)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "prune_ratio")
    assert "0.6" in refused.json()["error"]["message"]
    budget = chat(limited_server, visual_token_budget=1)
    assert (budget.status_code, budget.json()["error"]["param"]) == (400, "visual_token_budget")
    assert visual(chat(limited_server, model="tiny-new"))["prune_ratio"] == 0.2
    assert visual(chat(limited_server, model="adapted-new"))["prune_ratio"] == 0.3
    assert {chat(limited_server, model=gone).status_code for gone in ("tiny-fast", "tiny-adapted")} == {404}
    listed = [model.id for model in limited_server.client.models.list()]
    assert listed == [MODEL, "tiny-new", pool.ADAPTER, "adapted-new"]
    assert limited_server.metrics()["gprune_max_prune_ratio"] == 0.6
    choices = limited_server.http.get("/v1/visual_tokens").json()
    assert choices["max_prune_ratio"] == 0.6


def test_an_invalid_file_changes_nothing_and_is_told(limited_server: Server, config: Path) -> None:
    config.write_text("max_prune_ratio: 7")
    wait_until(lambda: limited_server.metrics()[REJECTED] == 1)
    assert visual(chat(limited_server, model="tiny-fast"))["prune_ratio"] == 0.7
    told = "changes nothing: max_prune_ratio: Input should be less than 1"
    assert told in limited_server.log.read_text()


def test_the_canary_is_tried_on_requests_that_set_nothing(limited_server: Server, config: Path) -> None:
    put(limited_server, config, canary={"ratio": 0.7, "fraction": 1})
    tried = visual(chat(limited_server))
    assert (tried["prune_ratio"], tried["source"]) == (0.7, "canary")
    assert visual(chat(limited_server, prune_ratio=0.2))["prune_ratio"] == 0.2
    assert limited_server.metrics()['gprune_requests_total{method="random",source="canary"}'] == 1
    put(limited_server, config, canary={"ratio": 0.7, "fraction": 0})
    assert visual(chat(limited_server))["prune_ratio"] == 0.5


def test_a_tenant_has_its_own_default_limit_and_method(limited_server: Server) -> None:
    mine = visual(chat(limited_server, ACME))
    assert (mine["prune_ratio"], mine["method"]) == (0.3, "tome")
    refused = chat(limited_server, ACME, prune_ratio=0.7)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "prune_ratio")
    budget = chat(limited_server, ACME, visual_token_budget=20)
    assert (budget.status_code, budget.json()["error"]["param"]) == (400, "visual_token_budget")
    assert limited_server.http.get("/v1/visual_tokens", headers=ACME).json() == {
        "methods": ["tome", "random"],
        "default_prune_ratio": 0.3,
        "max_prune_ratio": 0.6,
    }


def test_a_gateways_header_names_the_tenant_and_all_others_share_a_label(limited_server: Server) -> None:
    assert visual(chat(limited_server, {"X-Tenant": "acme"}))["prune_ratio"] == 0.3
    for stranger in ("somebody", "someone-else"):
        assert visual(chat(limited_server, {"X-Tenant": stranger}))["prune_ratio"] == 0.5
    labelled = [name for name in limited_server.metrics() if name.startswith("gprune_tenant_requests_total")]
    assert {name.partition('tenant="')[2].rstrip('"}') for name in labelled} == {"acme", "other"}
    assert any('"tenant": "acme"' in line for line in limited_server.log.read_text().splitlines())
