"""Settings of shadow quality: one validated model, from flags or `GPRUNE_...` environment variables."""

from typing import Annotated

from pydantic import Field

from gprune_vllm.settings import OperatorSettings


class ShadowSettings(OperatorSettings):
    """Which answers are judged.

    Raises:
        pydantic.ValidationError: a value is out of range.
    """

    prune_shadow_fraction: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = Field(
        0.0,
        description="Share of prompts with images whose answers the unpruned model judges afterwards, while the engine "
        "has room.",
    )
