"""Settings of what chooses pruning in a request's place: one validated model, from flags or `GPRUNE_...` variables."""

from pydantic import Field

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
    prune_headers: bool = Field(
        False,
        description="Read X-Prune-Ratio, X-Visual-Token-Budget and X-Prune-Method from requests whose body has no such "
        "field.",
    )
