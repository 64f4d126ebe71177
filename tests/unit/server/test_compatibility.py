"""Either version of vLLM gets the arguments that it knows, from where it has them."""

import runpy
import sys
from argparse import Namespace
from types import ModuleType, SimpleNamespace

import pytest

from gprune_server import compatibility
from gprune_server.compatibility import decoding_options, renderer_options
from gprune_server.guard.media import GuardedMediaConnector


def test_names_that_moved_are_taken_from_their_new_place(monkeypatch: pytest.MonkeyPatch) -> None:
    places = {
        "vllm.entrypoints.common": (),
        "vllm.entrypoints.common.cli_args": (
            "make_arg_parser",
            "resolve_default_chat_template_kwargs",
            "validate_parsed_serve_args",
        ),
        "vllm.entrypoints.common.startup": ("VLLM_SUBCMD_PARSER_EPILOG", "cli_env_setup"),
    }
    for place, names in places.items():
        module = ModuleType(place)
        vars(module).update(dict.fromkeys(names, place))
        monkeypatch.setitem(sys.modules, place, module)
    found = runpy.run_path(compatibility.__file__)
    assert {found[name] for names in places.values() for name in names} == {*places} - {"vllm.entrypoints.common"}


def test_a_renderer_gets_the_efforts_where_there_is_a_flag_for_them() -> None:
    assert renderer_options(Namespace()) == {}
    assert renderer_options(Namespace(reasoning_effort_map={"low": "none"})) == {
        "reasoning_effort_map": {"low": "none"}
    }


def test_images_are_charged_to_the_budget_of_their_request() -> None:
    budget = SimpleNamespace()
    assert decoding_options(SimpleNamespace()) == {}
    connector = GuardedMediaConnector()
    connector.decoded_budget = budget
    assert connector._image_io("RGB").kwargs["decoded_budget"] is budget
