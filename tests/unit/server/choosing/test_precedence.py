"""The body wins over headers, and these over a preset."""

from typing import Any

import pytest

from gprune_server.choosing.precedence import first_given

PRESET = {"prune_ratio": 0.7, "visual_token_budget": None, "prune_method": "tome"}


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        ({}, {}, {"prune_ratio": 0.7, "prune_method": "tome"}),
        ({"prune_ratio": 0}, {}, {"prune_ratio": 0, "prune_method": "tome"}),
        ({"prune_ratio": None}, {"prune_ratio": 0.2}, {"prune_ratio": 0.2, "prune_method": "tome"}),
        ({"prune_ratio": 0.1}, {"prune_ratio": 0.2}, {"prune_ratio": 0.1, "prune_method": "tome"}),
        ({"visual_token_budget": 9}, {}, {"visual_token_budget": 9, "prune_method": "tome"}),
        ({"visual_token_budget": 9}, {"prune_ratio": 0.2}, {"visual_token_budget": 9, "prune_method": "tome"}),
        ({"prune_method": "random"}, {}, {"prune_ratio": 0.7, "prune_method": "random"}),
        (
            {"prune_ratio": 0.1, "visual_token_budget": 9},
            {},
            {"prune_ratio": 0.1, "visual_token_budget": 9, "prune_method": "tome"},
        ),
    ],
)
def test_the_first_source_that_has_a_field_wins(
    body: dict[str, Any], headers: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert first_given(body, headers, PRESET) == expected


def test_nothing_is_given_where_no_source_has_a_field() -> None:
    assert first_given({"prune_ratio": None}, {}, {}) == {}
