"""Either version of vLLM gets the arguments that it knows, from where it has them."""

import runpy
import sys
from argparse import Namespace
from types import ModuleType, SimpleNamespace

import pytest
from vllm.multimodal.media import ImageMediaIO, VideoMediaIO

from gprune_server import compatibility
from gprune_server.compatibility import decoding_options, renderer_options
from gprune_server.guard.image_error import ImageError
from gprune_server.guard.media import GuardedMediaConnector
from gprune_server.guard.video_io import GuardedVideoIO
from tests.support.photos import data_url, generated


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


@pytest.mark.parametrize("kind", ["image", "video"])
def test_what_exceeds_the_budget_of_its_request_is_not_said_to_be_damaged(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def charge(*_: object) -> None:
        """What vLLM 0.33 does."""
        raise ValueError("Request decoded media exceeds VLLM_MAX_MEDIA_REQUEST_DECODE_BYTES=5 (9 bytes).")

    for upstream in (ImageMediaIO, VideoMediaIO):
        monkeypatch.setattr(upstream, "load_bytes", charge)
    monkeypatch.setattr(GuardedVideoIO, "_check_file", lambda *_: None)
    url = data_url(generated(8, 8)).replace("image/png", f"{kind}/any")
    with pytest.raises(ImageError, match=r"have more bytes.*\(VLLM_MAX_MEDIA_REQUEST_DECODE_BYTES\)\. Send fewer"):
        getattr(GuardedMediaConnector(), f"fetch_{kind}")(url)
