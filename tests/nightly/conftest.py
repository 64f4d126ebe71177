"""How long the long forms are."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let each be made longer or shorter."""
    group = parser.getgroup("nightly")
    group.addoption("--soak-minutes", type=float, default=20, help="for how long to soak (default: %(default)s)")
    group.addoption("--fuzz-cases", type=int, default=5000, help="hostile requests (default: %(default)s)")
    group.addoption("--disconnects", type=int, default=1000, help="clients that leave (default: %(default)s)")
