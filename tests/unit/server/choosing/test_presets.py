"""Presets are listed beside the models they stand for, and leave when they are no longer in force."""

from types import SimpleNamespace

import pytest
from vllm.entrypoints.openai.models.protocol import BaseModelPath
from vllm.lora.request import LoRARequest

from gprune_server.choosing.choices import Choices
from gprune_server.choosing.presets import PresetNames
from gprune_server.choosing.schema import Preset
from gprune_vllm.settings import PruneSettings


@pytest.fixture
def models() -> SimpleNamespace:
    """Stands for vLLM's list of models, with an adapter."""
    return SimpleNamespace(
        base_model_paths=[BaseModelPath("llava", "path")], lora_requests={"lora": LoRARequest("lora", 1, "folder")}
    )


def choices(**presets: Preset) -> Choices:
    return Choices(PruneSettings(), presets)


def test_presets_follow_the_choices_in_force(models: SimpleNamespace) -> None:
    names = PresetNames(models)
    names.follow(choices(fast=Preset(prune_ratio=0.7), faster=Preset(prune_ratio=0.9)))
    assert [model.name for model in models.base_model_paths] == ["llava", "fast", "faster"]
    names.follow(choices(fast=Preset(prune_ratio=0.5)))
    assert models.base_model_paths == [BaseModelPath("llava", "path"), BaseModelPath("fast", "path")]
    assert names.served == {"llava", "lora"}


def test_a_preset_of_an_adapter_has_its_id(models: SimpleNamespace) -> None:
    names = PresetNames(models)
    names.follow(choices(fast=Preset(prune_ratio=0.7, model="lora")))
    preset = models.lora_requests["fast"]
    assert (preset.lora_name, preset.lora_int_id, preset.lora_path) == ("fast", 1, "folder")
    assert [model.name for model in models.base_model_paths] == ["llava"]
    names.follow(choices())
    assert list(models.lora_requests) == ["lora"]


def test_an_adapter_loaded_later_under_a_presets_name_stays(models: SimpleNamespace) -> None:
    names = PresetNames(models)
    names.follow(choices(fast=Preset(prune_ratio=0.7), faster=Preset(prune_ratio=0.9, model="lora")))
    loaded = {"fast": LoRARequest("fast", 2, "other"), "faster": LoRARequest("faster", 3, "third")}
    models.lora_requests.update(loaded)
    names.follow(choices())
    assert models.lora_requests == loaded | {"lora": LoRARequest("lora", 1, "folder")}
