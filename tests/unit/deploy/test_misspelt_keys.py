"""Each file under deploy/ is held against something that refuses a misspelt key: here every key is misspelt once."""

import copy
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.deploy.readers import READERS, by_kustomize, read, write
from tests.support.tools import ROOT

DEPLOY = ROOT / "deploy"
FILES = [file for file in sorted(DEPLOY.rglob("*")) if file.is_file() and file.suffix not in {".py", ".pyc"}]
# Maps whose keys are the author's to choose.
CHOSEN = {"annotations", "labels", "limits", "matchLabels", "requests"}
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


def distinct(document: Any) -> list[Place]:
    """One place for each kind of key: elements of a list have the same."""
    return list({tuple(part for part in place if isinstance(part, str)): place for place in places(document)}.values())


def misspelt(document: Any, place: Place) -> Any:
    """The document with a letter too many in one key."""
    document = parent = copy.deepcopy(document)
    for part in place[:-1]:
        parent = parent[part]
    parent[f"{place[-1]}s"] = parent.pop(place[-1])
    return document


def reader(name: str) -> Callable[[Path], list[str]]:
    return next(found for pattern, found in READERS.items() if Path(name).match(pattern))


@pytest.mark.parametrize("name", [str(file.relative_to(DEPLOY)) for file in FILES])
def test_every_misspelt_key_is_refused(name: str, tmp_path: Path) -> None:
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    file = tmp_path / "deploy" / name
    document = read(file)
    assert reader(name)(file) == []
    for place in distinct(document):
        write(file, misspelt(document, place))
        assert str(place[-1]) in "\n".join(reader(name)(file)), place


@pytest.mark.parametrize("key", ["op", "path", "value"])
@pytest.mark.parametrize("overlay", ["autoscaled", "tensor-parallel"])
def test_every_misspelt_key_of_a_patch_is_refused(overlay: str, key: str, tmp_path: Path) -> None:
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    file = tmp_path / "deploy/kubernetes/overlays" / overlay / "kustomization.yaml"
    text = file.read_text()
    places = list(re.finditer(rf"\b{key}: ", text))
    assert places
    for found in places:
        file.write_text(f"{text[: found.start()]}{key}s: {text[found.end() :]}")
        assert f"{key}s" in "\n".join(by_kustomize(file))
