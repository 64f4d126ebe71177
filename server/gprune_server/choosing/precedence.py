"""Pruning fields of a request from its body, its headers and its preset."""

from collections.abc import Mapping
from typing import Any

from gprune_vllm.adapter.refusal import BUDGET_KEY, RATIO_KEY

AMOUNTS = {RATIO_KEY, BUDGET_KEY}
"""Fields that say how much is pruned. They are one choice."""


def first_given(*sources: Mapping[str, Any]) -> dict[str, Any]:
    """Merge pruning fields. The first source that has a field wins, None counting as absent.

    A source that says how much is pruned, by a ratio or a budget, hides both in the sources after it.
    """
    given: dict[str, Any] = {}
    for source in sources:
        hidden = given.keys() | (AMOUNTS if given.keys() & AMOUNTS else set())
        given |= {field: value for field, value in source.items() if value is not None and field not in hidden}
    return given
