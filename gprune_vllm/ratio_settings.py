"""The operator's settings of ratios, which a server may change while it runs."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

Ratio = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class RatioSettings(BaseModel):
    """Ratios of requests that set none, and the largest that requests may set.

    Raises:
        pydantic.ValidationError: a value is out of range, or two contradict each other.
    """

    default_prune_ratio: Ratio = Field(0.0, description="Pruning ratio of requests that do not set one, in [0, 1).")
    max_prune_ratio: Ratio | None = Field(None, description="Refuse requests above this ratio. Default: no limit.")
    prune_policy: Literal["fixed", "adaptive"] = Field(
        "fixed",
        description="Ratio of requests that do not set one: the default ratio, or a ratio that rises with the engine's "
        "load.",
    )
    adaptive_min_ratio: Ratio = Field(0.0, description="Ratio of the adaptive policy without load.")
    adaptive_max_ratio: Ratio = Field(0.7, description="Largest ratio of the adaptive policy.")
    adaptive_waiting_requests: Annotated[int, Field(ge=1)] = Field(
        8, description="Waiting requests per engine at which the adaptive policy reaches its largest ratio."
    )

    @model_validator(mode="after")
    def _default_within_limit(self) -> Self:
        if self.max_prune_ratio is not None and self.default_prune_ratio > self.max_prune_ratio:
            raise ValueError(
                f"--default-prune-ratio {self.default_prune_ratio} is above --max-prune-ratio {self.max_prune_ratio}. "
                "Lower one or raise the other."
            )
        return self

    @model_validator(mode="after")
    def _policy_without_contradiction(self) -> Self:
        if self.adaptive_min_ratio > self.adaptive_max_ratio:
            raise ValueError(
                f"--adaptive-min-ratio {self.adaptive_min_ratio} is above --adaptive-max-ratio "
                f"{self.adaptive_max_ratio}. Lower one or raise the other."
            )
        if self.prune_policy == "fixed":
            return self
        if self.default_prune_ratio:
            raise ValueError(
                f"--default-prune-ratio {self.default_prune_ratio} does not go with --prune-policy adaptive, which "
                "chooses the ratio itself. Set --adaptive-min-ratio instead."
            )
        if self.max_prune_ratio is not None and self.adaptive_min_ratio > self.max_prune_ratio:
            raise ValueError(
                f"--adaptive-min-ratio {self.adaptive_min_ratio} is above --max-prune-ratio {self.max_prune_ratio}. "
                "Lower one or raise the other."
            )
        return self

    @property
    def adaptive_limit(self) -> float:
        """The largest ratio that the adaptive policy may choose: not above that of requests."""
        return min(self.adaptive_max_ratio, 1.0 if self.max_prune_ratio is None else self.max_prune_ratio)

    @property
    def largest_default(self) -> float:
        """The largest ratio that a request gets without asking for one."""
        return self.default_prune_ratio if self.prune_policy == "fixed" else self.adaptive_limit
