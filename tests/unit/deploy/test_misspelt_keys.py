"""Each file under deploy/ is held against something that refuses a misspelt key: here one of each kind has some."""

import copy
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.tools import ROOT
from tests.unit.deploy.readers import READERS, by_kustomize, read, write

DEPLOY = ROOT / "deploy"
FILES = [file for file in sorted(DEPLOY.rglob("*")) if file.is_file() and file.suffix not in {".py", ".pyc"}]
# What a chart's templates make is held against the kustomizations: test_helm.py.
FILES = [file for file in FILES if file.parent.name != "templates"]
# Maps whose keys are the author's to choose.
CHOSEN = {"annotations", "labels", "limits", "matchLabels", "requests"}
CHOSEN |= {"podLabels"}  # of our chart
CHOSEN |= {"networks", "services", "volumes"}  # of compose
CHOSEN |= {"exp_annotations", "exp_labels"}  # of promtool's tests
CHOSEN |= {"excludeByName"}  # of a dashboard's table

Place = tuple[str | int, ...]


def places(document: Any, place: Place = ()) -> Iterator[Place]:
    """Where a document's keys stand, but for those that are its author's to choose."""
    for key, value in items(document):
        if isinstance(key, str) and key.startswith("x-"):
            continue  # a fragment of a compose file: it is merged into services
        if isinstance(key, str) and "/" not in key and not (place and place[-1] in CHOSEN):
            yield (*place, key)
        yield from places(value, (*place, key))


def items(document: Any) -> Iterable[tuple[str | int, Any]]:
    """The keys or numbers of what is in a map or a list, with their values."""
    if isinstance(document, dict):
        return document.items()
    return enumerate(document) if isinstance(document, list) else ()


def ends(document: Any) -> list[Place]:
    """The place of a key at the top, and of one of the deepest."""
    ordered = sorted(places(document), key=len)
    return [ordered[0], ordered[-1]]


def misspelt(document: Any, place: Place) -> Any:
    """The document with a letter too many in one key."""
    document = parent = copy.deepcopy(document)
    for part in place[:-1]:
        parent = parent[part]
    parent[f"{place[-1]}s"] = parent.pop(place[-1])
    return document


def pattern_of(file: Path) -> str:
    """The pattern of the files that are read as this one is."""
    return next(pattern for pattern in READERS if file.relative_to(DEPLOY).match(pattern))


# Two values of charts are not read by the same schema.
KINDS = {file.name if file.parent.name == "values" else pattern_of(file): file for file in FILES}


@pytest.fixture
def deploy(tmp_path: Path) -> Path:
    """A copy of the folder."""
    return Path(shutil.copytree(DEPLOY, tmp_path / "deploy"))


# promtool's verdict on the others is a test of its own.
@pytest.mark.parametrize("file", [file for file in FILES if "prometheus" not in file.parts], ids=lambda file: file.name)
def test_those_who_read_a_file_have_nothing_to_say(file: Path) -> None:
    assert READERS[pattern_of(file)](file) == []


@pytest.mark.parametrize("kind", KINDS)
def test_misspelt_keys_are_refused(kind: str, deploy: Path) -> None:
    file = deploy / KINDS[kind].relative_to(DEPLOY)
    document = read(file)
    for place in ends(document):
        write(file, misspelt(document, place))
        assert str(place[-1]) in "\n".join(READERS[pattern_of(KINDS[kind])](file)), place


def test_misspelt_key_of_a_patch_is_refused(deploy: Path) -> None:
    file = deploy / "kubernetes/overlays/autoscaled/kustomization.yaml"
    file.write_text(file.read_text().replace("path: /", "paths: /"))
    assert "paths" in "\n".join(by_kustomize(file))
