"""Operator settings: one validated model, read from the command line or from `GPRUNE_...` environment variables."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gprune_vllm.defaults import ITERATIONS, TEMPERATURE, THRESHOLD
from gprune_vllm.plan import PruneSpec, SpecError, shortened

ALL_METHODS = "all"
"""Value of `prune_methods` that enables every registered method."""
FASTV = (
    "it drops tokens after the second layer of the language model, which an engine with a paged KV cache cannot do; "
    "fastv is a baseline for offline evaluation only"
)
"""Reason why no server has the method `fastv`, for error messages."""

_ASKED_OR_ALLOWED = {
    *("default_prune_ratio", "max_prune_ratio", "prune_method", "prune_methods"),
    *("prune_policy", "adaptive_min_ratio", "adaptive_max_ratio", "adaptive_waiting_requests"),
}

Ratio = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class OperatorSettings(BaseSettings):
    """Settings whose every field is the flag of the same name and the environment variable `GPRUNE_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="GPRUNE_", frozen=True, extra="forbid", env_ignore_empty=True)

    @classmethod
    def load(cls, **flags: Any) -> Self:
        """Read the environment, `flags` taking precedence.

        Raises:
            ValueError: a value is invalid; the message names each flag and its environment variable.
        """
        try:
            return cls(**flags)
        except ValidationError as error:
            raise ValueError("; ".join(_complaint(dict(detail)) for detail in error.errors())) from error


class PruneSettings(OperatorSettings):
    """Pruning settings of one server.

    Raises:
        pydantic.ValidationError: a value is out of range, or two contradict each other.
    """

    default_prune_ratio: Ratio = Field(0.0, description="Pruning ratio of requests that do not set one, in [0, 1).")
    max_prune_ratio: Ratio | None = Field(None, description="Refuse requests above this ratio. Default: no limit.")
    prune_method: str = Field("gprune", description="Default method for selecting the visual tokens to keep.")
    prune_methods: str | None = Field(
        None,
        description="Methods that requests may choose, separated by commas, or 'all'. The default method is always "
        "included.",
    )
    prune_stage: Literal["vision", "projector"] = Field(
        "vision",
        description="Score visual tokens on the vision tower's output, or on the projector's output, as the authors' "
        "released code does.",
    )
    prune_positions: Literal["original", "contiguous"] = Field(
        "original",
        description="Keep the original positions of kept tokens, or close the gaps between them.",
    )
    prune_score: Literal["l2norm", "ones"] = Field(
        "l2norm", description="Initial score of a visual token: its L2 norm, or 1."
    )
    prune_similarity: Literal["cosine", "euclidean"] = Field(
        "cosine",
        description="Similarity of two visual tokens: their cosine similarity, or 1 minus their distance in units of "
        "twice the tokens' mean length.",
    )
    prune_threshold: Annotated[float, Field(ge=-1, lt=1)] = Field(
        THRESHOLD,
        description="Minimum similarity that joins two visual tokens by an edge. Default: 0.7 for Qwen-VL, which "
        "evaluation/qwen/RESULTS.md compares with others, and 0.5 for all other models.",
    )
    prune_temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        TEMPERATURE, description="Temperature of the softmax over edges. 'none' gives the paper's literal Algorithm 1."
    )
    prune_iterations: Annotated[int, Field(ge=0, le=100)] = Field(
        ITERATIONS, description="Number of times that scores are propagated."
    )
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
    trust_image_uuids: bool = Field(
        False,
        description="Use the uuids that clients give images as cache keys, and accept images by uuid alone. A client "
        "can then get answers about another client's image.",
    )
    prune_access_log: bool = Field(False, description="Write a JSON line for each prompt with images.")
    playground: bool = Field(False, description="Serve a page at /playground for trying out pruning.")

    @model_validator(mode="before")
    @classmethod
    def _none_is_a_value(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {name: None if value in ("none", "None") else value for name, value in values.items()}

    @model_validator(mode="after")
    def _default_within_limit(self) -> "PruneSettings":
        if self.max_prune_ratio is not None and self.default_prune_ratio > self.max_prune_ratio:
            raise ValueError(
                f"--default-prune-ratio {self.default_prune_ratio} is above --max-prune-ratio {self.max_prune_ratio}. "
                "Lower one or raise the other."
            )
        return self

    @model_validator(mode="after")
    def _policy_without_contradiction(self) -> "PruneSettings":
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
    def methods(self) -> tuple[str, ...]:
        """Methods that requests may choose, the default first. Plans sent to the model rely on their order."""
        named = (name.strip() for name in (self.prune_methods or "").split(","))
        return tuple(dict.fromkeys((self.prune_method, *(name for name in named if name))))

    def with_methods(self, registered: Sequence[str]) -> "PruneSettings":
        """Replace 'all' by the names of the registered methods.

        Raises:
            ValueError: a method is not among those registered.
        """
        for name in self.methods:
            default = name == self.prune_method
            if name not in registered and (default or name != ALL_METHODS):
                flag = "--prune-method" if default else "--prune-methods"
                raise ValueError(f"{flag} {name!r} is unknown{_aside(name)}. Choose one of {', '.join(registered)}.")
        spelled = ",".join(registered) if ALL_METHODS in self.methods else self.prune_methods
        return self.model_copy(update={"prune_methods": spelled})

    def with_threshold(self, threshold: float) -> "PruneSettings":
        """Use this threshold if the operator sets none."""
        own = "prune_threshold" in self.model_fields_set
        return self if own else self.model_copy(update={"prune_threshold": threshold})

    def resolve(
        self,
        ratio: object | None = None,
        budget: object | None = None,
        method: object | None = None,
        default: object | None = None,
    ) -> PruneSpec:
        """Resolve what a request asks for; None means the default. `default` replaces the operator's default ratio.

        Raises:
            SpecError: the ratio is not a number in [0, 1) or above the limit, the budget is not a positive integer,
                both are given, or the method is not enabled. Whether a budget is within the limit only an image's
                plan tells.
        """
        if ratio is not None and budget is not None:
            raise SpecError(
                "visual_token_budget and prune_ratio exclude each other. Send one of them.",
                "visual_token_budget",
                "ratio_and_budget",
            )
        if ratio is None and budget is None:
            ratio = self.default_prune_ratio if default is None else default
        spec = PruneSpec(0.0 if ratio is None else ratio, budget, self._enabled(method))  # type: ignore[arg-type]
        if self.max_prune_ratio is not None and spec.ratio > self.max_prune_ratio:
            raise SpecError(
                f"prune_ratio {spec.ratio} is above this server's limit of {self.max_prune_ratio} (--max-prune-ratio).",
                "prune_ratio",
                "above_limit",
            )
        return spec

    def _enabled(self, method: object | None) -> str:
        """Return the method that a request named, or the default."""
        if method is None:
            return self.prune_method
        if isinstance(method, str) and method in self.methods:
            return method
        raise SpecError(
            f"prune_method {shortened(method)} is not enabled{_aside(method)}. "
            f"Choose one of {', '.join(self.methods)}.",
            "prune_method",
            "invalid_method",
        )

    @property
    def selector_options(self) -> dict[str, Any]:
        """Keyword options of the selection method."""
        return {
            "threshold": self.prune_threshold,
            "temperature": self.prune_temperature,
            "iterations": self.prune_iterations,
            "score": self.prune_score,
            "similarity": self.prune_similarity,
        }

    @property
    def fingerprint(self) -> str:
        """Text that identifies all settings that change the result, for cache keys. Requests name the rest."""
        return self.model_dump_json(exclude=_ASKED_OR_ALLOWED | {"trust_image_uuids", "prune_access_log", "playground"})


def _aside(method: object) -> str:
    """Explain in parentheses why a method is missing, where there is a reason."""
    return f" ({FASTV})" if method == "fastv" else ""


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
