"""Settings of shadow quality: one validated model, from flags or `GPRUNE_...` environment variables."""

from typing import Annotated

from pydantic import Field, model_validator

from gprune_vllm.settings import OperatorSettings


class ShadowSettings(OperatorSettings):
    """Which answers are judged.

    Raises:
        pydantic.ValidationError: a value is out of range.
    """

    prune_shadow_fraction: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = Field(
        0.0,
        description="Largest share of prompts with images, and of their tokens, whose answers the unpruned model "
        "judges afterwards, while the engine has room.",
    )
    min_agreement: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = Field(
        None,
        description="Lower the largest ratio that the default and the adaptive policy may use while answers agree less "
        "with the unpruned model. Default: no limit.",
    )

    @model_validator(mode="after")
    def _agreement_is_measured(self) -> "ShadowSettings":
        if self.min_agreement is not None and not self.prune_shadow_fraction:
            raise ValueError(
                f"--min-agreement {self.min_agreement} needs answers that are judged. Set --prune-shadow-fraction."
            )
        return self
