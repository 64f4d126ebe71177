"""Presets: names of models that stand for the served model with pruning defaults."""

from collections.abc import Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from gprune_server.choosing.settings import ChoosingSettings
from gprune_vllm.plan import SpecError
from gprune_vllm.settings import PruneSettings

FLAG = "--prune-presets"


class Preset(BaseModel):
    """Pruning fields of requests that name a preset as their model and do not set them.

    The fields have the names and the meaning that they have in a request.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prune_ratio: Any = None
    visual_token_budget: Any = None
    prune_method: Any = None


PRESETS = TypeAdapter(dict[str, Preset])


def serve_presets(models: Any, settings: PruneSettings) -> dict[str, dict[str, Any]]:
    """List the operator's presets beside the served model, and return the pruning fields of each.

    Args:
        models: `vllm.entrypoints.openai.models.serving.OpenAIServingModels` (vLLM 0.32).
        settings: the server's settings.

    Raises:
        ValueError: see `read_presets`.
    """
    file = ChoosingSettings.load().prune_presets
    if file is None:
        return {}
    served = {model.name for model in models.base_model_paths} | set(models.lora_requests)
    presets = read_presets(file, settings, served)
    first = models.base_model_paths[0]
    models.base_model_paths.extend(replace(first, name=name) for name in presets)
    return {name: preset.model_dump() for name, preset in presets.items()}


def read_presets(file: str, settings: PruneSettings, served: Set[str]) -> dict[str, Preset]:
    """Read the presets in a YAML or JSON file.

    Args:
        file: path of the file.
        settings: the server's settings, which the presets must keep within.
        served: names of the served models and adapters.

    Raises:
        ValueError: the file cannot be read, or a preset is invalid, not allowed, or named like a model. The message
            names the flag, the file and the preset.
    """
    try:
        presets = PRESETS.validate_python(yaml.safe_load(Path(file).read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{FLAG} {file} cannot be read as YAML or JSON: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ValueError(f"{FLAG} {file}: {place}: {first['msg']}. See docs/presets.md.") from error
    for name, preset in presets.items():
        _check(name, preset, settings, served, file)
    return presets


def _check(name: str, preset: Preset, settings: PruneSettings, served: Set[str], file: str) -> None:
    if name in served:
        raise ValueError(f"{FLAG} {file}: {name} is the name of a served model. Choose another name.")
    try:
        settings.resolve(preset.prune_ratio, preset.visual_token_budget, preset.prune_method)
    except SpecError as error:
        raise ValueError(f"{FLAG} {file}: {name}: {error}") from error
