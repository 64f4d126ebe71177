"""The sender of a request is found out, and gets the operator's choices."""

from collections.abc import Iterator
from hashlib import sha256

import pytest
from starlette.datastructures import Headers

from gprune_server.choosing.choices import Choices
from gprune_server.choosing.chooser import Chooser
from gprune_server.choosing.config_file import parse_config
from gprune_server.choosing.headers import HEADERS
from gprune_vllm.settings import PruneSettings

KEY = "sk-acme"
CONFIG = f"""
default_prune_ratio: 0.5
presets: {{fast: {{prune_ratio: 0.7}}}}
tenants:
  acme: {{key_sha256: [{sha256(KEY.encode()).hexdigest()}], default_prune_ratio: 0.2, max_prune_ratio: 0.6}}
  beta: {{max_prune_ratio: 0.6}}
canary: {{ratio: 0.8, fraction: 1}}
"""
IDS = [f"request-{number}" for number in range(200)]


def chooser(text: str, **options: object) -> Chooser:
    choices = Choices.of(PruneSettings(), parse_config(text.encode()), frozenset())
    return Chooser(lambda: choices, **options)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def no_headers() -> Iterator[None]:
    token = HEADERS.set({})
    yield
    HEADERS.reset(token)


def send(**headers: str) -> None:
    HEADERS.set(Headers({name.replace("_", "-"): value for name, value in headers.items()}))


@pytest.mark.parametrize(
    ("headers", "tenant"),
    [
        ({}, "other"),
        ({"Authorization": f"Bearer {KEY}"}, "acme"),
        ({"x_api_key": KEY}, "acme"),
        ({"Authorization": "Bearer sk-stranger"}, "other"),
        ({"Authorization": f"Bearer {KEY}", "X_Tenant": "beta"}, "beta"),
        ({"X_Tenant": "stranger"}, "other"),
        ({"X_Tenant": ""}, "other"),
    ],
)
def test_a_key_or_the_gateways_header_tells_the_tenant(headers: dict[str, str], tenant: str) -> None:
    send(**headers)
    assert chooser(CONFIG, tenant_header="X-Tenant").tenant == tenant


def test_a_header_that_no_gateway_is_trusted_with_tells_nothing() -> None:
    send(X_Tenant="acme")
    assert chooser(CONFIG).tenant == "other"


def test_without_tenants_there_is_no_label() -> None:
    assert chooser("").tenant == ""


def test_a_tenant_gets_its_own_default_and_limit() -> None:
    send(Authorization=f"Bearer {KEY}")
    terms = chooser(CONFIG).terms("any")
    assert (terms.tenant, terms.source) == ("acme", "default")
    assert (terms.settings.default_prune_ratio, terms.settings.max_prune_ratio) == (0.2, 0.6)


def test_the_canary_is_not_tried_above_a_tenants_limit() -> None:
    send(X_Tenant="beta")
    assert chooser(CONFIG, tenant_header="X-Tenant").terms("any").source == "default"


def test_the_canary_gets_its_share_of_the_requests() -> None:
    canary = chooser("default_prune_ratio: 0.5\ncanary: {ratio: 0.8, fraction: 0.25}")
    terms = [canary.terms(each) for each in IDS]
    assert {(each.source, each.settings.default_prune_ratio) for each in terms} == {("default", 0.5), ("canary", 0.8)}
    assert sum(each.source == "canary" for each in terms) == pytest.approx(len(IDS) / 4, abs=20)
    assert terms == [canary.terms(each) for each in IDS], "a request is a canary by its id alone"


def test_fields_are_those_of_headers_and_of_the_preset() -> None:
    send(X_Prune_Ratio="0.3")
    preset = {"prune_ratio": 0.7, "visual_token_budget": None, "prune_method": None}
    assert chooser(CONFIG, reads_fields=True).fields("fast") == ({"prune_ratio": 0.3}, preset)
    assert chooser(CONFIG).fields("llava") == ({}, {})
