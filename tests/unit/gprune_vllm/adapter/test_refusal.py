"""Why a request is refused: for its client, and for the metrics."""

from typing import Any

import pytest

from gprune_vllm.adapter.refusal import REASONS, PruneRefusal, blamed_field, resolve_request
from gprune_vllm.defaults import METHOD
from gprune_vllm.plan import PruneSpec
from gprune_vllm.settings import PruneSettings

SETTINGS = PruneSettings(default_prune_ratio=0.25, max_prune_ratio=0.5, prune_methods="tome")


@pytest.mark.parametrize(("requested", "ratio"), [(None, 0.25), (0, 0.0), (-0.0, 0.0), (0.5, 0.5)])
def test_a_ratio_within_the_limit_is_resolved(requested: float | None, ratio: float) -> None:
    assert repr(resolve_request(SETTINGS, {"prune_ratio": requested})) == repr(PruneSpec(ratio))


def test_what_is_absent_is_the_default() -> None:
    assert resolve_request(SETTINGS, {}) == PruneSpec(0.25)
    assert resolve_request(SETTINGS, {"visual_token_budget": 3}) == PruneSpec(budget=3)
    assert resolve_request(SETTINGS, {"prune_method": "tome"}) == PruneSpec(0.25, method="tome")
    assert resolve_request(SETTINGS, {"visual_token_budget": 3, "prune_ratio": None}) == PruneSpec(budget=3)


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"prune_ratio": 0.51}, "prune_ratio", "above_limit"),
    *(({"prune_ratio": ratio}, "prune_ratio", "invalid_ratio") for ratio in (1, -0.1, "0.3", True)),
    *(({"visual_token_budget": budget}, "visual_token_budget", "invalid_budget") for budget in (0, -1, 2.0, "2", True)),
    ({"prune_ratio": 0.1, "visual_token_budget": 5}, "visual_token_budget", "ratio_and_budget"),
    *(({"prune_method": method}, "prune_method", "invalid_method") for method in ("random", "fastv", "", 1, [])),
]


@pytest.mark.parametrize(("fields", "parameter", "reason"), REFUSED)
def test_a_refusal_names_its_parameter_and_its_reason(fields: dict[str, Any], parameter: str, reason: str) -> None:
    with pytest.raises(PruneRefusal) as refusal:
        resolve_request(SETTINGS, fields)
    assert (refusal.value.parameter, refusal.value.reason) == (parameter, reason)
    assert str(refusal.value).startswith(parameter)
    assert reason in REASONS


def test_who_asks_for_fastv_learns_why_no_server_has_it() -> None:
    with pytest.raises(PruneRefusal, match=rf"paged KV cache cannot do.*Choose one of {METHOD}, tome"):
        resolve_request(SETTINGS, {"prune_method": "fastv"})


def test_a_budget_is_blamed_for_what_it_asks() -> None:
    assert blamed_field({"visual_token_budget": 5, "prune_ratio": None}) == "visual_token_budget"
    assert blamed_field({}) == "prune_ratio"
