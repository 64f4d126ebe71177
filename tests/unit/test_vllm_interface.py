"""vLLM has all that our code uses of it, and it looks as it did when our code was last fitted to it."""

import ast
import json
import sys

import pytest

from tests.unit.vllm_interface import (
    COMMAND,
    RECORD,
    WRAPPERS,
    differences,
    exists,
    full_name,
    imported,
    interface,
    methods_of,
    missing_names,
    our_classes,
    signature,
)

SOURCE = """
import vllm.envs
if TYPE_CHECKING:
    from vllm.config import VllmConfig as Config
def function():
    from vllm.platforms import current_platform
"""


def test_every_name_of_vllm_that_we_use_exists() -> None:
    assert missing_names() == []


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the record has unions as older versions of Python write them")
def test_signatures_are_those_that_were_recorded() -> None:
    found = differences(json.loads(RECORD.read_text()), interface())
    assert not found, "\n".join([f"Fit our code to these, then record them with `{COMMAND}`:", *found])


def test_our_wrappers_are_known() -> None:
    ours = {each.__name__: each for each in our_classes()}
    passing_on = {name for name, each in ours.items() if "__getattr__" in vars(each)}
    assert passing_on <= {*WRAPPERS} <= {*ours}


def test_imports_are_found_wherever_they_are() -> None:
    names = {
        "vllm.envs": "vllm.envs",
        "Config": "vllm.config.VllmConfig",
        "current_platform": "vllm.platforms.current_platform",
    }
    assert imported(ast.parse(SOURCE)) == names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("platform", "vllm.platforms.current_platform"),
        ("platform.is_cpu", "vllm.platforms.current_platform.is_cpu"),
        ("platform_of.is_cpu", None),
        ("platform[0].is_cpu", None),
    ],
)
def test_attributes_of_imported_names_have_full_names(text: str, name: str | None) -> None:
    expression = ast.parse(text, mode="eval").body
    assert full_name(expression, {"platform": "vllm.platforms.current_platform"}) == name


@pytest.mark.parametrize("name", ["vllm.nothing", "vllm.config.VllmConfig.nothing", "vllm.envs.VLLM_NOTHING"])
def test_what_vllm_lacks_does_not_exist(name: str) -> None:
    assert not exists(name)


def test_signatures_tell_what_is_awaited() -> None:
    async def awaited(self: object, count: int = 1) -> ast.expr:
        raise NotImplementedError

    assert signature(awaited) == "async (self: object, count: int = 1) -> expr"
    assert signature(classmethod(awaited)) == "classmethod async (self: object, count: int = 1) -> expr"
    assert signature(property(awaited)) == "property"


def test_a_method_is_named_by_the_class_of_vllm_that_has_it() -> None:
    class Upstream:
        def method(self) -> None: ...

    Upstream.__module__, Upstream.__qualname__ = "vllm.module", "Upstream"
    ours = type("Ours", (Upstream,), {"method": lambda self: None, "own": lambda self: None})
    assert methods_of(ours, {"method", "own"}) == {"vllm.module.Upstream.method": "(self) -> None"}


def test_differences_are_told_by_name() -> None:
    recorded, found = (
        {"vllm.a": "()", "vllm.b": "()", "vllm.c": "()"},
        {"vllm.a": "()", "vllm.b": "(x)", "vllm.d": "()"},
    )
    assert differences(recorded, found) == [
        "vllm.b: expected (), found (x)",
        "vllm.c: expected (), found nothing that we use",
        "vllm.d: expected no record of it, found ()",
    ]
