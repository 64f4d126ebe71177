"""Limits are validated at start-up, and named in mistakes."""

import pytest

from gprune_server.guard.limits import Limits


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_request_bytes", "0"),
        ("max_image_pixels", "many"),
        ("media_networks", "10.0.0.0/99"),
        ("media_networks", "x"),
    ],
)
def test_a_mistake_names_flag_and_variable(field: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"--{field.replace('_', '-')} .or GPRUNE_{field.upper()}. is '{value}'"):
        Limits.load(**{field: value})


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPRUNE_MAX_IMAGE_PIXELS", "1000")
    monkeypatch.setenv("GPRUNE_MEDIA_NETWORKS", "10.0.0.0/8, fd00::/8")
    limits = Limits.load()
    assert (limits.max_image_pixels, limits.media_networks) == (1000, "10.0.0.0/8, fd00::/8")
