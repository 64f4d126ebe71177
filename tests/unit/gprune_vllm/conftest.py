"""Real multimodal processors of tiny checkpoints."""

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from vllm.config import ModelConfig
from vllm.model_executor.models import ModelRegistry
from vllm.model_executor.models import config as vllm_config
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.tokenizers import cached_tokenizer_from_config

from gprune_vllm.adapter.config import SETTINGS_ATTRIBUTE
from gprune_vllm.adapter.processor import PruningProcessor
from gprune_vllm.families.llava_next import GPruneLlavaNextProcessor
from gprune_vllm.plugin import register
from gprune_vllm.settings import PruneSettings
from tests.support.families import FAMILIES

Build = Callable[..., GPruneLlavaNextProcessor]


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without any setting of ours."""
    _remove_settings(monkeypatch)


def _remove_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("GPRUNE_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def registered() -> Iterator[None]:
    """The plugin registered, and no setting in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        _remove_settings(patch)
        patch.setattr(ModelRegistry, "models", dict(ModelRegistry.models))
        patch.setattr(vllm_config, "MODELS_CONFIG_MAP", dict(vllm_config.MODELS_CONFIG_MAP))
        register()
        yield


@pytest.fixture(scope="module")
def model_config(checkpoint: Path, registered: None) -> ModelConfig:
    """vLLM's configuration of the checkpoint."""
    return ModelConfig(str(checkpoint))


@pytest.fixture
def build(model_config: ModelConfig, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Makes the processor of a server with the given settings."""

    def build(**settings: Any) -> GPruneLlavaNextProcessor:
        monkeypatch.setattr(model_config.hf_config, SETTINGS_ATTRIBUTE, PruneSettings(**settings).model_dump())
        tokenizer = cached_tokenizer_from_config(model_config)
        processor = MULTIMODAL_REGISTRY.create_processor(model_config, tokenizer=tokenizer)
        assert isinstance(processor, GPruneLlavaNextProcessor)
        return processor

    return build


@pytest.fixture
def processor(build: Build) -> GPruneLlavaNextProcessor:
    """The processor of a server in its default configuration."""
    return build()


BuildFamily = Callable[..., PruningProcessor]


@pytest.fixture(scope="module")
def family_config(registered: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ModelConfig]:
    """Makes vLLM's configuration of a tiny checkpoint of one of `FAMILIES`, once."""
    folder = tmp_path_factory.mktemp("families")
    return cache(lambda name: ModelConfig(str(FAMILIES[name].write(folder / name))))


@pytest.fixture(scope="module")
def build_family(family_config: Callable[[str], ModelConfig]) -> Iterator[BuildFamily]:
    """Makes the processor of a server of one of `FAMILIES` with the given settings."""
    with pytest.MonkeyPatch.context() as patch:

        def build(name: str = "qwen3_vl", **settings: Any) -> PruningProcessor:
            config = family_config(name)
            patch.setattr(config.hf_config, SETTINGS_ATTRIBUTE, PruneSettings(**settings).model_dump())
            tokenizer = cached_tokenizer_from_config(config)
            processor = MULTIMODAL_REGISTRY.create_processor(config, tokenizer=tokenizer)
            assert isinstance(processor, PruningProcessor)
            return processor

        yield build
