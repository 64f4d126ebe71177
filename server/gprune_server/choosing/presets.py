"""Presets among the names of models that the server lists."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from gprune_server.choosing.choices import Choices
from gprune_server.choosing.schema import Preset


class PresetNames:
    """Lists presets beside the served models and adapters, and follows their changes.

    Args:
        models: `vllm.entrypoints.openai.models.serving.OpenAIServingModels` (vLLM 0.32).

    Attributes:
        served: names of the models and adapters without the presets.
    """

    def __init__(self, models: Any) -> None:
        self._models = models
        self.served = frozenset(model.name for model in models.base_model_paths) | set(models.lora_requests)
        self._listed: set[str] = set()
        self._adapters: dict[str, Any] = {}

    def follow(self, choices: Choices) -> None:
        """List these presets and no others."""
        self._remove()
        self._add(choices.presets)
        self._listed = set(choices.presets)

    def _remove(self) -> None:
        paths, adapters = self._models.base_model_paths, self._models.lora_requests
        paths[:] = [model for model in paths if model.name not in self._listed]
        for name, adapter in self._adapters.items():
            if adapters.get(name) is adapter:  # and none that was loaded since under this name
                del adapters[name]
        self._adapters = {}

    def _add(self, presets: Mapping[str, Preset]) -> None:
        paths, adapters = self._models.base_model_paths, self._models.lora_requests
        for name, preset in presets.items():
            if preset.model in adapters:
                # The same id, by which the engine knows adapters: it loads this one once.
                self._adapters[name] = msgspec.structs.replace(adapters[preset.model], lora_name=name)
                adapters[name] = self._adapters[name]
            else:
                paths.append(replace(paths[0], name=name))
