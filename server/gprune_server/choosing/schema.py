"""What an operator writes in the files of `--prune-config` and `--prune-presets`."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from gprune_vllm.ratio_settings import Ratio, RatioSettings

STRICT = ConfigDict(extra="forbid", frozen=True)
"""A misspelled name is an error."""
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Preset(BaseModel):
    """Pruning fields of requests that name a preset as their model and do not set them.

    The fields have the names and the meaning that they have in a request.

    Attributes:
        model: served model or adapter that the preset stands for; None for the base model.
    """

    model_config = STRICT

    prune_ratio: Any = None
    visual_token_budget: Any = None
    prune_method: Any = None
    model: str | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """The fields as in a request."""
        return self.model_dump(exclude={"model"})


class Tenant(BaseModel):
    """Settings of requests of one sender. What is left out is the server's.

    Attributes:
        key_sha256: SHA-256 digests of the sender's API keys, in hexadecimal, so that the file holds no secret.
    """

    model_config = STRICT

    key_sha256: tuple[Digest, ...] = ()
    default_prune_ratio: Ratio | None = None
    max_prune_ratio: Ratio | None = None
    prune_method: str | None = None
    prune_methods: str | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that replace the server's, by name. A default ratio replaces the adaptive policy."""
        given = {name: getattr(self, name) for name in self.model_fields_set - {"key_sha256"}}
        return given | ({"prune_policy": "fixed"} if "default_prune_ratio" in given else {})


class Canary(BaseModel):
    """A ratio that is tried on a share of the requests that set none."""

    model_config = STRICT

    ratio: Ratio
    fraction: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


TenantName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class PruneConfig(RatioSettings):
    """Content of the file of `--prune-config`.

    Attributes:
        presets: by the name of the model that clients choose.
        tenants: by the label that metrics and the access log show.
        canary: None if no ratio is tried.
    """

    model_config = STRICT

    presets: dict[str, Preset] = Field(default_factory=dict)
    tenants: Annotated[dict[TenantName, Tenant], Field(max_length=100)] = Field(default_factory=dict)
    canary: Canary | None = None

    @property
    def ratio_settings(self) -> dict[str, Any]:
        """The settings of ratios that the file gives, by name."""
        return {name: getattr(self, name) for name in self.model_fields_set & RatioSettings.model_fields.keys()}
