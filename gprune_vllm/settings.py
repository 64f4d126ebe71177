"""What the operator set: one validated model, from the command line or from `GPRUNE_...` environment variables."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gprune_vllm.plan import PruneSpec


class AboveLimitError(ValueError):
    """A request asks for more pruning than the operator allows."""


Ratio = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class PruneSettings(BaseSettings):
    """Settings of one server. Every field is the flag of the same name and the environment variable `GPRUNE_<NAME>`.

    Raises:
        pydantic.ValidationError: a value is out of range, or two contradict each other.
    """

    model_config = SettingsConfigDict(env_prefix="GPRUNE_", frozen=True, extra="forbid", env_ignore_empty=True)

    default_prune_ratio: Ratio = Field(0.0, description="Pruning ratio of requests that name none, in [0, 1).")
    max_prune_ratio: Ratio | None = Field(None, description="Refuse requests above this ratio. Default: no limit.")
    prune_method: str = Field("gprune", description="How the visual tokens that stay are selected.")
    prune_stage: Literal["vision", "projector"] = Field(
        "vision",
        description="Prune the vision tower's features, so that the projector runs on kept tokens only, or the "
        "projector's, as the authors' released code does.",
    )
    prune_positions: Literal["original", "contiguous"] = Field(
        "original",
        description="Give kept tokens the positions they had in the unpruned sequence, or close the gaps.",
    )
    prune_threshold: Annotated[float, Field(ge=-1, lt=1)] = Field(
        0.5, description="Cosine similarity from which two visual tokens are joined by an edge."
    )
    prune_temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        0.03, description="Temperature of the softmax over edges. 'none' gives the paper's literal Algorithm 1."
    )
    prune_iterations: Annotated[int, Field(ge=0, le=100)] = Field(5, description="How often scores are propagated.")
    prune_access_log: bool = Field(False, description="Write a JSON line for each prompt with images.")

    @model_validator(mode="before")
    @classmethod
    def _none_is_a_value(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {name: None if value in ("none", "None") else value for name, value in values.items()}

    @model_validator(mode="after")
    def _default_within_limit(self) -> "PruneSettings":
        if self.max_prune_ratio is not None and self.default_prune_ratio > self.max_prune_ratio:
            raise ValueError(
                f"--default-prune-ratio {self.default_prune_ratio} is above --max-prune-ratio {self.max_prune_ratio}; "
                "lower the one or raise the other"
            )
        return self

    @classmethod
    def load(cls, **flags: Any) -> "PruneSettings":
        """Read the environment, `flags` taking precedence.

        Raises:
            ValueError: a value is invalid; the message names each flag and its environment variable.
        """
        try:
            return cls(**flags)
        except ValidationError as error:
            raise ValueError("; ".join(_complaint(dict(detail)) for detail in error.errors())) from error

    def resolve(self, ratio: object | None) -> PruneSpec:
        """What a request gets that asked for `ratio`; None means the default.

        Raises:
            ValueError: the ratio is not a number in [0, 1).
            AboveLimitError: it is above the limit.
        """
        spec = PruneSpec(self.default_prune_ratio if ratio is None else ratio)  # type: ignore[arg-type]
        if self.max_prune_ratio is not None and spec.ratio > self.max_prune_ratio:
            raise AboveLimitError(
                f"prune_ratio {spec.ratio} is above this server's limit of {self.max_prune_ratio} (--max-prune-ratio)"
            )
        return spec

    @property
    def selector_options(self) -> dict[str, Any]:
        """Keyword options of the selection method."""
        return {
            "threshold": self.prune_threshold,
            "temperature": self.prune_temperature,
            "iterations": self.prune_iterations,
        }

    @property
    def fingerprint(self) -> str:
        """Names everything but the ratio that changes which tokens stay and where: part of cache keys."""
        return self.model_dump_json(exclude={"default_prune_ratio", "max_prune_ratio", "prune_access_log"})


def flag_name(field: str) -> str:
    """The command-line flag of a settings field."""
    return "--" + field.replace("_", "-")


def environment_name(field: str) -> str:
    """The environment variable of a settings field."""
    return f"GPRUNE_{field.upper()}"


def _complaint(detail: dict[str, Any]) -> str:
    if not detail["loc"]:
        return str(detail["msg"])
    field = str(detail["loc"][0]).lower()
    return f"{flag_name(field)} (or {environment_name(field)}) is {detail['input']!r}: {detail['msg']}"
