"""Bodies and answers of `/v1/visual_tokens`."""

from itertools import product
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from vllm.exceptions import VLLMValidationError

from gprune_vllm.adapter.refusal import BUDGET_KEY, METHOD_KEY, RATIO_KEY, resolve_request
from gprune_vllm.plan import PruneSpec

MOST_PLANS = 64
"""Ratios or budgets, times methods, in one request."""

Choice = Annotated[Any, Field(description="One, or a list of them.")]


class VisualTokensRequest(BaseModel):
    """Body of `/v1/visual_tokens`."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    images: list[str] = Field(min_length=1, max_length=16, description="URLs of images, as in a chat.")
    prune_ratio: Choice = None
    visual_token_budget: Choice = None
    prune_method: Choice = None
    scores: bool = Field(False, description="Tell G-Prune's score of each token, after each iteration.")

    def specs(self, settings: Any) -> list[PruneSpec]:
        """What is asked: each ratio or budget with each method.

        Raises:
            PruneRefusal: one cannot be met.
            VLLMValidationError: they are too many, or none.
        """
        choices = {name: _listed(name, getattr(self, name)) for name in (RATIO_KEY, BUDGET_KEY, METHOD_KEY)}
        asked = [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]
        if len(asked) > MOST_PLANS:
            raise VLLMValidationError(f"at most {MOST_PLANS} combinations can be asked at once", parameter=RATIO_KEY)
        return [resolve_request(settings, fields) for fields in asked]


class Group(BaseModel):
    """Tokens of the base crop, or of the grid, row by row: their rows and columns cover the whole image.

    Attributes:
        scores: of each token, initially and after each iteration.
    """

    name: Literal["base", "grid"]
    rows: int
    columns: int
    scores: list[list[float]] | None = None


class Plan(BaseModel):
    """What stays for one ratio or budget and method. `input` and `kept` count as `usage.visual_tokens` does, newline
    tokens included; `kept_indices` are of the groups' patch tokens, ascending."""

    prune_ratio: float
    method: str
    budget: int | None = None
    input: int
    kept: int
    kept_indices: dict[str, list[int]]


class ImageTokens(BaseModel):
    """The visual tokens of one image of `width` x `height` pixels."""

    index: int
    width: int
    height: int
    groups: list[Group]
    plans: list[Plan]


class VisualTokensResponse(BaseModel):
    """Answer of `/v1/visual_tokens`."""

    object: Literal["visual_tokens"] = "visual_tokens"
    model: str
    data: list[ImageTokens]


class PruningChoices(BaseModel):
    """What requests may ask for, the default method first."""

    methods: list[str]
    default_prune_ratio: float
    max_prune_ratio: float | None


def _listed(name: str, choice: object) -> list[Any]:
    """A choice as a list; none is the default.

    Raises:
        VLLMValidationError: the list is empty.
    """
    if choice == []:
        raise VLLMValidationError(f"{name} must name at least one", parameter=name)
    return choice if isinstance(choice, list) else [choice]
