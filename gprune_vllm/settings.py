"""Operator settings: one validated model, read from the command line or from `GPRUNE_...` environment variables."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gprune_vllm.defaults import ITERATIONS, METHOD, TEMPERATURE, THRESHOLD
from gprune_vllm.plan import PruneSpec, SpecError, shortened
from gprune_vllm.ratio_settings import RatioSettings

ALL_METHODS = "all"
"""Value of `prune_methods` that enables every registered method."""
FASTV = (
    "it drops tokens after the second layer of the language model, which an engine with a paged KV cache cannot do; "
    "fastv is a baseline for offline evaluation only"
)
"""Reason why no server has the method `fastv`, for error messages."""

_ASKED_OR_ALLOWED = {"prune_method", "prune_methods", *RatioSettings.model_fields}


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


class PruneSettings(OperatorSettings, RatioSettings):
    """Pruning settings of one server.

    Raises:
        pydantic.ValidationError: a value is out of range, or two contradict each other.
    """

    prune_method: str = Field(METHOD, description="Default method for selecting the visual tokens to keep.")
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
    ) -> PruneSpec:
        """Resolve what a request asks for; None means the default.

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
            ratio = self.default_prune_ratio
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
