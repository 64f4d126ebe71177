"""Request and response bodies of `/v1/visual_tokens`."""

from itertools import product
from math import prod
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from vllm.exceptions import VLLMValidationError

from gprune_vllm.adapter.refusal import BUDGET_KEY, METHOD_KEY, RATIO_KEY, resolve_request
from gprune_vllm.plan import PruneSpec

MAX_PLANS = 64
"""Largest number of ratios or budgets times methods in one request."""

Kind = Literal["image", "video"]
Choice = Annotated[Any, Field(description="One value or a list of values.")]


class VisualTokensRequest(BaseModel):
    """Body of `/v1/visual_tokens`."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    images: list[str] = Field([], max_length=16, description="URLs of images, as in a chat.")
    videos: list[str] = Field([], max_length=4, description="URLs of videos, as in a chat.")
    prune_ratio: Choice = None
    visual_token_budget: Choice = None
    prune_method: Choice = None
    scores: bool = Field(False, description="Include G-Prune's score of each token after each iteration.")

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.images and not self.videos:
            message = "The request has no images. Send the URL of at least one."
            raise VLLMValidationError(message, parameter="body.images")
        return self

    def specs(self, settings: Any) -> list[PruneSpec]:
        """Return each combination of a ratio or budget with a method.

        Raises:
            PruneRefusal: a combination is invalid.
            VLLMValidationError: there are too many combinations, or none.
        """
        choices = {name: _listed(name, getattr(self, name)) for name in (RATIO_KEY, BUDGET_KEY, METHOD_KEY)}
        count = prod(map(len, choices.values()))
        if count > MAX_PLANS:
            raise VLLMValidationError(
                f"The request asks for {count} combinations of ratio or budget and method, but the limit is "
                f"{MAX_PLANS}. Send fewer values.",
                parameter=RATIO_KEY,
            )
        asked = (dict(zip(choices, values, strict=True)) for values in product(*choices.values()))
        return [resolve_request(settings, fields) for fields in asked]


class Group(BaseModel):
    """Tokens that one selection chooses among, row by row. Their rows and columns cover the whole image.

    Attributes:
        frames: how many times the rows and columns are there, one after the other: of a video each time for some
            frames, of tiles with text between them each time for a part of the image.
        scores: score of each token, initially and after each iteration.
    """

    name: str
    rows: int
    columns: int
    frames: int = 1
    scores: list[list[float]] | None = None


class Plan(BaseModel):
    """Kept tokens for one combination of a ratio or budget with a method.

    `input` and `kept` include newline tokens, as in `usage.visual_tokens`. `kept_indices` holds the indices of the kept
    patch tokens of each group, in ascending order.
    """

    prune_ratio: float
    method: str
    budget: int | None = None
    input: int
    kept: int
    kept_indices: dict[str, list[int]]


class ImageTokens(BaseModel):
    """Visual tokens of one image or video of `width` x `height` pixels."""

    index: int
    kind: Kind = "image"
    width: int
    height: int
    groups: list[Group]
    plans: list[Plan]


class VisualTokensResponse(BaseModel):
    """Response of `/v1/visual_tokens`."""

    object: Literal["visual_tokens"] = "visual_tokens"
    model: str
    data: list[ImageTokens]


class PruningChoices(BaseModel):
    """Pruning that requests may ask for. The default method comes first."""

    methods: list[str]
    default_prune_ratio: float
    max_prune_ratio: float | None


def _listed(name: str, choice: object) -> list[Any]:
    """Return a choice as a list. None, which selects the default, counts as one value.

    Raises:
        VLLMValidationError: the list is empty.
    """
    if choice == []:
        raise VLLMValidationError(f"{name} is an empty list. Send a value or omit the field.", parameter=name)
    return choice if isinstance(choice, list) else [choice]
