"""Reading of files in which operators choose pruning."""

from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from gprune_server.choosing.schema import Preset, PruneConfig

Content = TypeVar("Content")

PRESETS = TypeAdapter(dict[str, Preset])


def parse_config(text: bytes) -> PruneConfig:
    """Read the content of the file of `--prune-config`. An empty file sets nothing.

    Raises:
        ValueError: it is not YAML or JSON, or not what `PruneConfig` describes; the message names the place.
    """
    data = _parsed(text)
    return _validated(TypeAdapter(PruneConfig), {} if data is None else data)


def parse_presets(text: bytes) -> dict[str, Preset]:
    """Read the content of the file of `--prune-presets`.

    Raises:
        ValueError: it is not YAML or JSON, or holds something else than presets; the message names the place.
    """
    return _validated(PRESETS, _parsed(text))


def _parsed(text: bytes) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"The file cannot be read as YAML or JSON: {error}") from error


def _validated(schema: TypeAdapter[Content], data: Any) -> Content:
    try:
        return schema.validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ValueError(f"{place}: {first['msg'].removeprefix('Value error, ')}. See docs/presets.md.") from error
