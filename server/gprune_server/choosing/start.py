"""Sets up the operator's choices as flags and files give them."""

from collections.abc import Set
from functools import partial
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry

from gprune_server.choosing.choices import Choices
from gprune_server.choosing.config_file import parse_config, parse_presets
from gprune_server.choosing.config_metrics import ConfigMetrics
from gprune_server.choosing.live import ChoicesFile, LiveChoices
from gprune_server.choosing.schema import PruneConfig
from gprune_server.choosing.settings import ChoosingSettings
from gprune_vllm.settings import PruneSettings


def start_choices(
    settings: PruneSettings, served: Set[str], has_statistics: bool, registry: CollectorRegistry = REGISTRY
) -> LiveChoices:
    """Set up the operator's choices, and follow their file if there is one.

    Args:
        settings: of the server.
        served: names of the served models and adapters.
        has_statistics: whether the engine keeps statistics.
        registry: registry of the collectors.

    Raises:
        ValueError: a file cannot be read or is invalid, or the adaptive policy lacks statistics. The message names the
            flag.
    """
    choosing = ChoosingSettings.load()
    if choosing.prune_config is None:
        fixed = _fixed(choosing.prune_presets, settings, served)
        _check_policy(fixed.settings, has_statistics)
        return LiveChoices(fixed)
    load = partial(_load, settings, served, has_statistics)
    try:
        live = ChoicesFile(Path(choosing.prune_config), load, ConfigMetrics(registry))
    except ValueError as error:
        raise ValueError(f"--prune-config {choosing.prune_config}: {error}") from error
    live.start()
    return live


def _fixed(file: str | None, settings: PruneSettings, served: Set[str]) -> Choices:
    """Return the choices of flags, with the presets of a file, if any."""
    if file is None:
        return Choices(settings)
    try:
        presets = parse_presets(Path(file).read_bytes())
        return Choices.of(settings, PruneConfig.model_validate({"presets": presets}), served)
    except (OSError, ValueError) as error:
        raise ValueError(f"--prune-presets {file}: {error}") from error


def _load(settings: PruneSettings, served: Set[str], has_statistics: bool, text: bytes) -> Choices:
    """Validate the content of `--prune-config` as a whole."""
    choices = Choices.of(settings, parse_config(text), served, PruneSettings.load().model_fields_set)
    _check_policy(choices.settings, has_statistics)
    return choices


def _check_policy(settings: PruneSettings, has_statistics: bool) -> None:
    if settings.prune_policy == "adaptive" and not has_statistics:
        raise ValueError(
            "--prune-policy adaptive needs the engine's statistics. Start the server without --disable-log-stats."
        )
