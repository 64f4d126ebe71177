"""The choices in force follow their file; what is invalid changes nothing and is told."""

import asyncio
import logging
from hashlib import sha256
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from gprune_server.choosing import live
from gprune_server.choosing.choices import Choices
from gprune_server.choosing.config_file import parse_config
from gprune_server.choosing.config_metrics import ConfigMetrics
from gprune_server.choosing.live import ChoicesFile
from gprune_vllm.settings import PruneSettings


class Case:
    """A file that is followed, and what it exposed."""

    def __init__(self, folder: Path) -> None:
        self.file, self.registry, self.ratios = folder / "config.yaml", CollectorRegistry(), list[float]()
        self.write("default_prune_ratio: 0.5")
        self.choices = ChoicesFile(self.file, self.load, ConfigMetrics(self.registry))
        self.choices.subscribe(lambda choices: self.ratios.append(choices.settings.default_prune_ratio))

    def load(self, text: bytes) -> Choices:
        return Choices.of(PruneSettings(), parse_config(text), frozenset())

    def write(self, text: str) -> None:
        self.file.write_text(text)

    def exposed(self) -> tuple[float | None, float | None]:
        names = "gprune_config_generation", "gprune_config_rejected"
        generation, rejected = (self.registry.get_sample_value(name) for name in names)
        return generation, rejected


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_the_first_content_is_in_force_at_once(case: Case) -> None:
    assert case.ratios == [0.5]
    assert case.exposed() == (1, 0)
    digest = sha256(case.file.read_bytes()).digest()
    assert case.registry.get_sample_value("gprune_config_hash") == int.from_bytes(digest[:6])


async def test_new_content_is_put_in_force(case: Case) -> None:
    case.write("default_prune_ratio: 0.7")
    await case.choices.refresh()
    assert case.ratios == [0.5, 0.7]
    assert case.exposed() == (2, 0)


async def test_the_same_content_changes_nothing(case: Case) -> None:
    case.write("default_prune_ratio: 0.5")
    await case.choices.refresh()
    assert case.ratios == [0.5]
    assert case.exposed() == (1, 0)


async def test_a_configmap_is_followed_through_its_symbolic_links(tmp_path: Path) -> None:
    for name, ratio in (("first", 0.1), ("second", 0.2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(f"default_prune_ratio: {ratio}")
    (tmp_path / "data").symlink_to("first")
    case = Case(tmp_path)
    (tmp_path / "config.yaml").unlink()
    (tmp_path / "config.yaml").symlink_to("data/config.yaml")
    await case.choices.refresh()
    (tmp_path / "next").symlink_to("second")
    (tmp_path / "next").replace(tmp_path / "data")
    await case.choices.refresh()
    assert case.ratios == [0.5, 0.1, 0.2]


@pytest.mark.parametrize("text", ["default_prune_ratio: 7", "[", "tenants: {other: {}}", None])
async def test_invalid_content_changes_nothing_and_is_told_once(
    case: Case, text: str | None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "logger", logging.getLogger("live"))
    if text is None:
        case.file.unlink()
    else:
        case.write(text)
    await case.choices.refresh()
    await case.choices.refresh()
    assert case.ratios == [0.5]
    assert case.exposed() == (1, 1)
    assert [record.levelname for record in caplog.records if "changes nothing" in record.message] == ["ERROR"]
    case.write("default_prune_ratio: 0.5")
    await case.choices.refresh()
    assert case.exposed() == (2, 0)


async def test_the_file_is_watched(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "INTERVAL", 0.01)
    case.choices.start()
    case.write("default_prune_ratio: 0.3")
    async with asyncio.timeout(60):
        while case.ratios[-1] != 0.3:
            await asyncio.sleep(0.01)


def test_an_invalid_file_is_refused_at_the_start(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    with pytest.raises(ValueError, match="cannot be read"):
        ChoicesFile(tmp_path / "missing", lambda _: Choices(PruneSettings()), ConfigMetrics(registry))
