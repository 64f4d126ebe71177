"""The operator's choices are set up from flags and files, and mistakes are told with the flag."""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from gprune_server.choosing.start import start_choices
from gprune_vllm.settings import PruneSettings

SETTINGS = PruneSettings(default_prune_ratio=0.5)


def test_without_files_the_settings_are_those_of_the_flags() -> None:
    assert start_choices(SETTINGS, {"llava"}, has_statistics=False).current.settings == SETTINGS


def test_a_file_of_presets_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "presets.yaml"
    file.write_text("fast: {prune_ratio: 0.7}")
    monkeypatch.setenv("GPRUNE_PRUNE_PRESETS", str(file))
    assert start_choices(SETTINGS, {"llava"}, has_statistics=True).current.presets["fast"].prune_ratio == 0.7


@pytest.mark.parametrize(
    ("flag", "text", "message"),
    [
        ("PRUNE_PRESETS", None, "No such file"),
        ("PRUNE_PRESETS", "llava: {prune_ratio: 0.7}", "presets.llava: This is the name of a served model"),
        ("PRUNE_CONFIG", None, "The file cannot be read"),
        ("PRUNE_CONFIG", "max_prune_ratio: 7", "max_prune_ratio: Input should be less than 1"),
        ("PRUNE_CONFIG", "prune_policy: adaptive\ndefault_prune_ratio: 0", "without --disable-log-stats"),
        ("PRUNE_CONFIG", "adaptive_max_ratio: 0.5", "adaptive_max_ratio: --adaptive-max-ratio .* sets it too"),
    ],
)
async def test_a_mistake_names_the_flag_and_the_file(
    flag: str, text: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file.yaml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv(f"GPRUNE_{flag}", str(file))
    monkeypatch.setenv("GPRUNE_ADAPTIVE_MAX_RATIO", "0.6")
    with pytest.raises(ValueError, match=message) as refused:
        start_choices(PruneSettings(), {"llava"}, False, CollectorRegistry())
    assert str(refused.value).startswith(f"--{flag.lower().replace('_', '-')} {file}: ")


def test_the_adaptive_policy_needs_statistics() -> None:
    with pytest.raises(ValueError, match=r"--prune-policy adaptive needs .* without --disable-log-stats"):
        start_choices(PruneSettings(prune_policy="adaptive"), {"llava"}, has_statistics=False)


def test_presets_have_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPRUNE_PRUNE_PRESETS", "a")
    monkeypatch.setenv("GPRUNE_PRUNE_CONFIG", "b")
    with pytest.raises(ValueError, match="--prune-presets does not go with --prune-config"):
        start_choices(PruneSettings(), {"llava"}, has_statistics=True)
