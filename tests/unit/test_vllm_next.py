"""vLLM 0.33 has all that our code uses of it, and its changes are known. Nightly tests read its sources again."""

import json
from pathlib import Path

from tests.support.vllm_sources import Sources
from tests.unit.vllm_next import RECORD, differ, moved_names

CHANGES = json.loads(RECORD.read_text())
ADAPTED = {
    "vllm.multimodal.media.ImageMediaIO": "compatibility.decoding_options passes decoded_budget",
    "vllm.multimodal.media.image.ImageMediaIO.__init__": "the same",
    "vllm.multimodal.media.MediaConnector": "our connector passes on all arguments",
    "vllm.multimodal.media.connector.MediaConnector.__init__": "the same",
    "vllm.renderers.online_renderer.OnlineRenderer": "compatibility.renderer_options passes reasoning_effort_map",
    "vllm.renderers.online_renderer.OnlineRenderer.__init__": "the same",
}
SHADOWED = {
    "vllm.multimodal.media.connector.MediaConnector._image_io": "ours takes its place, decoded_budget included",
}


def test_nothing_that_we_use_is_gone() -> None:
    assert CHANGES["absent"] == []


def test_each_change_is_adapted_to() -> None:
    assert CHANGES["changed"].keys() == ADAPTED.keys()
    assert CHANGES["shadowed"] == [*SHADOWED]


def test_names_that_moved_are_the_compatibility_modules() -> None:
    assert moved_names()["vllm.entrypoints.launchers.cli_args.make_arg_parser"] == (
        "vllm.entrypoints.common.cli_args.make_arg_parser"
    )


def written(folder: Path, **files: str) -> Sources:
    """Sources of a package `vllm` with these modules."""
    (folder / "vllm").mkdir()
    (folder / "vllm" / "__init__.py").touch()
    for name, text in files.items():
        (folder / "vllm" / f"{name}.py").write_text(text)
    return Sources(folder)


def test_definitions_are_found_through_imports_and_base_classes(tmp_path: Path) -> None:
    found = written(
        tmp_path,
        base="class Base:\n    async def method(self, x: int = 1) -> str: ...\n",
        middle="from vllm.base import Base\nclass Middle(Base):\n    field: int\n",
        outer="from .middle import *\nif True:\n    from vllm.middle import Middle as Other\n",
    )
    assert found.signature("vllm.outer.Middle.method") == "async (self, x: int=1)"
    assert found.signature("vllm.outer.Other.method") == "async (self, x: int=1)"
    assert found.signature("vllm.outer.Other") == "fields: field"
    assert found.signature("vllm.outer.Middle.other") is None
    assert found.signature("vllm.nothing") is None


def test_a_class_may_get_more_fields_and_a_function_no_more_parameters() -> None:
    assert not differ("fields: a", "fields: a, b")
    assert differ("fields: a, b", "fields: a")
    assert differ("(self)", "(self, x)")
