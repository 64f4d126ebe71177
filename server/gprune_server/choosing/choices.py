"""What the operator chose, validated as a whole."""

from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from pydantic import ValidationError

from gprune_server.choosing.schema import Canary, Preset, PruneConfig, Tenant
from gprune_vllm.plan import SpecError
from gprune_vllm.settings import PruneSettings, flag_name

OTHER = "other"
"""Label of all senders that are no tenant, where there are tenants."""


@dataclass(frozen=True, slots=True)
class Choices:
    """The operator's choices.

    Attributes:
        settings: of requests that no tenant sends.
        presets: by name.
        tenants: settings by label.
        keys: label by the SHA-256 digest of an API key.
        canary: ratio that is tried; None if there is none.
    """

    settings: PruneSettings
    presets: Mapping[str, Preset] = field(default_factory=dict)
    tenants: Mapping[str, PruneSettings] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    canary: Canary | None = None

    @classmethod
    def of(cls, settings: PruneSettings, config: PruneConfig, served: Set[str], flags: Set[str] = frozenset()) -> Self:
        """Combine settings and the content of a file.

        Args:
            settings: of the server, from flags and the environment.
            config: content of the file.
            served: names of the served models and adapters.
            flags: settings that flags or the environment give, which the file must not give too.

        Raises:
            ValueError: a setting is given twice, two contradict each other, or a preset, tenant or canary is not
                allowed. The message names its place in the file.
        """
        twice = flags & config.ratio_settings.keys()
        if twice:
            name = min(twice)
            raise ValueError(f"{name}: {flag_name(name)} (or its environment variable) sets it too. Remove one.")
        merged = _merged(settings, config.ratio_settings)
        for name, preset in config.presets.items():
            with _at(f"presets.{name}"):
                _check_preset(name, preset, merged, served)
        tenants = {}
        for name, tenant in config.tenants.items():
            with _at(f"tenants.{name}"):
                tenants[name] = _tenant(name, tenant, merged)
        if config.canary is not None:
            with _at("canary"):
                _resolve(merged, config.canary.ratio)
        return cls(merged, config.presets, tenants, _keys(config.tenants), config.canary)


@contextmanager
def _at(place: str) -> Iterator[None]:
    """Have errors name the place in the file."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


def _merged(settings: PruneSettings, given: Mapping[str, object]) -> PruneSettings:
    """Return settings with some of them replaced, validated again."""
    try:
        return PruneSettings(**{**settings.model_dump(), **given})
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error


def _resolve(settings: PruneSettings, *asked: object) -> None:
    try:
        settings.resolve(*asked)
    except SpecError as error:
        raise ValueError(str(error)) from error


def _check_preset(name: str, preset: Preset, settings: PruneSettings, served: Set[str]) -> None:
    if name in served:
        raise ValueError("This is the name of a served model. Choose another name.")
    if preset.model is not None and preset.model not in served:
        raise ValueError(f"The model {preset.model} is not served. Served are {', '.join(sorted(served))}.")
    _resolve(settings, preset.prune_ratio, preset.visual_token_budget, preset.prune_method)


def _tenant(name: str, tenant: Tenant, settings: PruneSettings) -> PruneSettings:
    """Return the settings of a tenant."""
    if name == OTHER:
        raise ValueError("This is the label of senders that are no tenant. Choose another name.")
    own = _merged(settings, {"prune_methods": ",".join(settings.methods), **tenant.settings})
    unknown = [method for method in own.methods if method not in settings.methods]
    if unknown:
        raise ValueError(
            f"The method {unknown[0]} is not enabled on this server (--prune-methods). Choose from "
            f"{', '.join(settings.methods)}."
        )
    return own


def _keys(tenants: Mapping[str, Tenant]) -> dict[str, str]:
    """Return the label of each key.

    Raises:
        ValueError: two tenants have the same key.
    """
    keys: dict[str, str] = {}
    for name, tenant in tenants.items():
        for digest in tenant.key_sha256:
            if keys.setdefault(digest, name) != name:
                raise ValueError(f"tenants.{name}: {keys[digest]} has the same key. Give each tenant its own.")
    return keys
