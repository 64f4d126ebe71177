"""What the operator set: one validated model, from the command line or from `GPRUNE_...` environment variables."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gprune_vllm.defaults import ITERATIONS, TEMPERATURE, THRESHOLD
from gprune_vllm.plan import PruneSpec, SpecError, shortened

ALL_METHODS = "all"
"""Value of `prune_methods` that enables every registered method."""
FASTV = (
    "it drops tokens inside the language model, behind the second layer, and an engine with a paged KV cache cannot "
    "drop tokens mid-model: fastv is a baseline for offline evaluation only"
)
"""Why no server has the method `fastv`."""

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
    """What one server prunes.

    Raises:
        pydantic.ValidationError: a value is out of range, or two contradict each other.
    """

    default_prune_ratio: Ratio = Field(0.0, description="Pruning ratio of requests that name none, in [0, 1).")
    max_prune_ratio: Ratio | None = Field(None, description="Refuse requests above this ratio. Default: no limit.")
    prune_method: str = Field("gprune", description="How the visual tokens that stay are selected by default.")
    prune_methods: str | None = Field(
        None,
        description="Methods that requests may name, separated by commas, or 'all'. The default method is always one.",
    )
    prune_stage: Literal["vision", "projector"] = Field(
        "vision",
        description="Prune the vision tower's features, so that the projector runs on kept tokens only, or the "
        "projector's, as the authors' released code does.",
    )
    prune_positions: Literal["original", "contiguous"] = Field(
        "original",
        description="Give kept tokens the positions they had in the unpruned sequence, or close the gaps.",
    )
    prune_score: Literal["l2norm", "ones"] = Field(
        "l2norm", description="Score of a visual token before it is propagated over the graph: its L2 norm, or one."
    )
    prune_similarity: Literal["cosine", "euclidean"] = Field(
        "cosine",
        description="How alike two visual tokens are: their cosine similarity, or one less their distance in units of "
        "twice the tokens' mean length.",
    )
    prune_threshold: Annotated[float, Field(ge=-1, lt=1)] = Field(
        THRESHOLD, description="Similarity from which two visual tokens are joined by an edge."
    )
    prune_temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        TEMPERATURE, description="Temperature of the softmax over edges. 'none' gives the paper's literal Algorithm 1."
    )
    prune_iterations: Annotated[int, Field(ge=0, le=100)] = Field(
        ITERATIONS, description="How often scores are propagated."
    )
    prune_policy: Literal["fixed", "adaptive"] = Field(
        "fixed",
        description="Give requests that name no ratio the default one, or one that rises with the engine's load.",
    )
    adaptive_min_ratio: Ratio = Field(0.0, description="Under the adaptive policy, the ratio when there is no load.")
    adaptive_max_ratio: Ratio = Field(0.7, description="Under the adaptive policy, the largest ratio.")
    adaptive_waiting_requests: Annotated[int, Field(ge=1)] = Field(
        8, description="Under the adaptive policy, waiting requests of one engine that bring the largest ratio."
    )
    trust_image_uuids: bool = Field(
        False,
        description="Take a uuid that a client gives an image in place of its content as the key of all caches, and "
        "images by their uuid alone. A client could then be answered about another's image.",
    )
    prune_access_log: bool = Field(False, description="Write a JSON line for each prompt with images.")
    playground: bool = Field(False, description="Serve a page to try pruning with at /playground.")

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

    @model_validator(mode="after")
    def _policy_without_contradiction(self) -> "PruneSettings":
        if self.adaptive_min_ratio > self.adaptive_max_ratio:
            raise ValueError(
                f"--adaptive-min-ratio {self.adaptive_min_ratio} is above --adaptive-max-ratio "
                f"{self.adaptive_max_ratio}; lower the one or raise the other"
            )
        if self.prune_policy == "fixed":
            return self
        if self.default_prune_ratio:
            raise ValueError(
                f"--default-prune-ratio {self.default_prune_ratio} does not go with --prune-policy adaptive, which "
                "chooses the ratio itself; set --adaptive-min-ratio in its place"
            )
        if self.max_prune_ratio is not None and self.adaptive_min_ratio > self.max_prune_ratio:
            raise ValueError(
                f"--adaptive-min-ratio {self.adaptive_min_ratio} is above --max-prune-ratio {self.max_prune_ratio}; "
                "lower the one or raise the other"
            )
        return self

    @property
    def adaptive_limit(self) -> float:
        """The largest ratio that the adaptive policy may choose: not above that of requests."""
        return min(self.adaptive_max_ratio, 1.0 if self.max_prune_ratio is None else self.max_prune_ratio)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that requests may name, the default first. Plans sent to the model rely on their order."""
        named = (name.strip() for name in (self.prune_methods or "").split(","))
        return tuple(dict.fromkeys((self.prune_method, *(name for name in named if name))))

    def with_methods(self, registered: Sequence[str]) -> "PruneSettings":
        """These settings with 'all' spelled out.

        Raises:
            ValueError: a method is not among those registered.
        """
        for name in self.methods:
            default = name == self.prune_method
            if name not in registered and (default or name != ALL_METHODS):
                flag = "--prune-method" if default else "--prune-methods"
                raise ValueError(f"{flag} {name!r} is unknown{_aside(name)}; choose one of {', '.join(registered)}")
        spelled = ",".join(registered) if ALL_METHODS in self.methods else self.prune_methods
        return self.model_copy(update={"prune_methods": spelled})

    def resolve(
        self,
        ratio: object | None = None,
        budget: object | None = None,
        method: object | None = None,
        default: object | None = None,
    ) -> PruneSpec:
        """What a request gets that asked for these; None means the default. `default` takes the place of the ratio's.

        Raises:
            SpecError: the ratio is not a number in [0, 1) or above the limit, the budget is not a positive integer,
                both are given, or the method is not enabled. Whether a budget is within the limit only an image's
                plan tells.
        """
        if ratio is not None and budget is not None:
            raise SpecError(
                "visual_token_budget takes the place of prune_ratio; send one of them",
                "visual_token_budget",
                "ratio_and_budget",
            )
        if ratio is None and budget is None:
            ratio = self.default_prune_ratio if default is None else default
        spec = PruneSpec(0.0 if ratio is None else ratio, budget, self._enabled(method))  # type: ignore[arg-type]
        if self.max_prune_ratio is not None and spec.ratio > self.max_prune_ratio:
            raise SpecError(
                f"prune_ratio {spec.ratio} is above this server's limit of {self.max_prune_ratio} (--max-prune-ratio)",
                "prune_ratio",
                "above_limit",
            )
        return spec

    def _enabled(self, method: object | None) -> str:
        """The method that a request named, or the default."""
        if method is None:
            return self.prune_method
        if isinstance(method, str) and method in self.methods:
            return method
        raise SpecError(
            f"prune_method {shortened(method)} is not enabled{_aside(method)}; choose one of {', '.join(self.methods)}",
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
        """Names everything that changes which tokens stay and where, but for what requests ask: part of cache keys."""
        return self.model_dump_json(exclude=_ASKED_OR_ALLOWED | {"trust_image_uuids", "prune_access_log", "playground"})


def _aside(method: object) -> str:
    """What a user should know who looks for a method in vain."""
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
