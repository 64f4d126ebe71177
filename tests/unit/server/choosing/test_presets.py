"""Presets are read and validated as a whole, and listed beside the served model."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from vllm.entrypoints.openai.models.protocol import BaseModelPath

from gprune_server.choosing.presets import read_presets, serve_presets
from gprune_vllm.settings import PruneSettings

SETTINGS = PruneSettings(max_prune_ratio=0.8, prune_methods="tome")
SERVED = {"llava"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "presets.yaml"


@pytest.mark.parametrize(
    "text",
    [
        "fast: {prune_ratio: 0.7, prune_method: tome}\nsmall: {visual_token_budget: 64}",
        '{"fast": {"prune_ratio": 0.7, "prune_method": "tome"}, "small": {"visual_token_budget": 64}}',
    ],
)
def test_yaml_and_json_are_read(text: str, file: Path) -> None:
    file.write_text(text)
    presets = read_presets(str(file), SETTINGS, SERVED)
    assert list(presets) == ["fast", "small"]
    assert (presets["fast"].prune_ratio, presets["fast"].prune_method) == (0.7, "tome")
    assert presets["small"].visual_token_budget == 64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fast: {prune_ratio: 7}", r"fast: prune_ratio must be a number in \[0, 1\)"),
        ("fast: {prune_ratio: 0.9}", "fast: prune_ratio 0.9 is above this server's limit"),
        ("fast: {prune_ratio: 0.5, visual_token_budget: 9}", "fast: .* exclude each other"),
        ("fast: {prune_method: random}", "fast: prune_method 'random' is not enabled"),
        ("fast: {ratio: 0.5}", "fast.ratio: Extra inputs are not permitted"),
        ("fast: 0.5", "fast: "),
        ("- fast", "the file: "),
        ("fast: [", "cannot be read as YAML or JSON"),
        ("llava: {prune_ratio: 0.5}", "llava is the name of a served model"),
    ],
)
def test_a_mistake_is_told_with_flag_file_and_preset(text: str, message: str, file: Path) -> None:
    file.write_text(text)
    with pytest.raises(ValueError, match=message) as refused:
        read_presets(str(file), SETTINGS, SERVED)
    assert str(refused.value).startswith(f"--prune-presets {file}")


def test_a_missing_file_is_told(file: Path) -> None:
    with pytest.raises(ValueError, match=r"--prune-presets .* cannot be read"):
        read_presets(str(file), SETTINGS, SERVED)


def test_presets_are_listed_behind_the_model_they_stand_for(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("fast: {prune_ratio: 0.7}")
    monkeypatch.setenv("GPRUNE_PRUNE_PRESETS", str(file))
    models = SimpleNamespace(base_model_paths=[BaseModelPath("llava", "path")], lora_requests={})
    assert serve_presets(models, SETTINGS)["fast"]["prune_ratio"] == 0.7
    assert models.base_model_paths == [BaseModelPath("llava", "path"), BaseModelPath("fast", "path")]
