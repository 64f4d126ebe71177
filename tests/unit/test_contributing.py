"""What CONTRIBUTING.md says about the suite, and CHANGELOG.md about the version."""

import re
import tomllib

from tests.conftest import MOST_STARTS
from tests.support.tools import ROOT

DOCUMENT = (ROOT / "CONTRIBUTING.md").read_text()


def test_the_document_tells_how_many_servers_may_be_started() -> None:
    assert f"more than {MOST_STARTS} servers" in DOCUMENT


def test_the_document_names_each_tier() -> None:
    tiers = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and not path.name.startswith("__")}
    assert all(f"`tests/{tier}`" in DOCUMENT for tier in tiers)


def test_files_and_links_lead_somewhere() -> None:
    files = re.findall(r"`((?:tests|gprune_vllm)/[\w/]+(?:\.py)?)`", DOCUMENT)
    links = re.findall(r"\]\(((?!http)[^)#]+)", DOCUMENT)
    assert files
    assert links
    assert [name for name in files + links if not (ROOT / name).exists()] == []


def test_the_changelog_begins_with_the_version_of_the_project() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = re.findall(r"^## (\S+) - \d{4}-\d\d-\d\d$", changelog, re.MULTILINE)
    assert versions[0] == project["version"]
    assert versions == sorted(versions, reverse=True)


def test_modules_that_the_changelog_names_as_new_exist() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    cells = re.findall(r"^  \| .* \| (.*) \|$", changelog, re.MULTILINE)
    names = [name for cell in cells for name in re.findall(r"`((?:gprune_vllm|evaluation)\.[a-z_.0-9]+)`", cell)]
    assert names
    for name in names:
        path = ROOT.joinpath(*name.removesuffix(".plan_tokens").split("."))
        assert path.is_dir() or path.with_suffix(".py").exists(), name
