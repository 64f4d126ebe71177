"""Settings of what chooses pruning in a request's place: one validated model, from flags or `GPRUNE_...` variables."""

from typing import Self

from pydantic import Field, model_validator

from gprune_vllm.settings import OperatorSettings


class ChoosingSettings(OperatorSettings):
    """What chooses pruning for requests whose body does not.

    Raises:
        pydantic.ValidationError: a value has the wrong type.
    """

    prune_presets: str | None = Field(
        None,
        description="YAML or JSON file of presets: model names, each with a prune_ratio or visual_token_budget, and "
        "a prune_method. The server lists and serves each like its model, with these defaults.",
    )
    prune_config: str | None = Field(
        None,
        description="YAML or JSON file of ratio settings, presets, tenants and a canary, which the server follows "
        "while it runs. It must not give what a flag gives.",
    )
    tenant_header: str | None = Field(
        None,
        description="Header by which a trusted gateway names the tenant. Default: an API key does.",
    )
    prune_headers: bool = Field(
        False,
        description="Read X-Prune-Ratio, X-Visual-Token-Budget and X-Prune-Method from requests whose body has no such "
        "field.",
    )

    @model_validator(mode="after")
    def _presets_are_in_one_place(self) -> Self:
        if self.prune_config is not None and self.prune_presets is not None:
            raise ValueError("--prune-presets does not go with --prune-config. Move them to `presets` in that file.")
        return self
