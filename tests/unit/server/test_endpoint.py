"""vLLM's entry point into the server: it gives the plugin, or ends the server."""

import sys
import tomllib
from importlib import import_module

import pytest

from gprune_server.endpoint import create
from gprune_server.plugin import GPruneEndpointPlugin
from tests.support.tools import ROOT


def test_it_gives_the_plugin() -> None:
    assert isinstance(create(), GPruneEndpointPlugin)


def test_a_server_without_the_plugin_that_was_named_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM catches every `Exception`, and would serve without limits."""
    monkeypatch.setitem(sys.modules, "gprune_server.plugin", None)
    with pytest.raises(SystemExit, match=r"cannot be loaded: .*gprune_server\.plugin.*VLLM_PLUGINS"):
        create()


def test_vllm_is_told_of_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, name = project["entry-points"]["vllm.endpoint_plugins"]["gprune"].split(":")
    assert getattr(import_module(module), name) is create
