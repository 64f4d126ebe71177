"""What CONTRIBUTING.md says about the suite."""

import re

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
