"""What is known about a model before an image is processed: the plan of what its tower will see."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

from vllm.exceptions import VLLMValidationError

from gprune_vllm.adapter.config import settings_of
from gprune_vllm.adapter.family import Family
from gprune_vllm.adapter.refusal import without_pruning
from gprune_vllm.plan import MediaSize, PruneSpec, TokenPlan
from gprune_vllm.settings import PruneSettings


class PruningInfo:
    """Mixin in front of a `BaseProcessingInfo` of vLLM 0.32. Changes against it:

    - `get_hf_processor` and merged processor arguments leave out those of pruning, which HF's processor does not know;
    - it plans visual tokens from the sizes of images and videos.

    Attributes:
        family: of the model.
    """

    family: ClassVar[Family]
    ctx: Any

    def get_hf_processor(self, **kwargs: object) -> Any:
        return super().get_hf_processor(**without_pruning(kwargs))  # type: ignore[misc]

    def _merge_and_resolve_mm_processor_kwargs(self, mm_kwargs: Mapping[str, object]) -> dict[str, Any]:
        merged: dict[str, Any] = super()._merge_and_resolve_mm_processor_kwargs(without_pruning(mm_kwargs))  # type: ignore[misc]
        return merged

    @property
    def config(self) -> Any:
        """The model's HF configuration."""
        return self.ctx.model_config.hf_config

    @cached_property
    def settings(self) -> PruneSettings:
        """The server's settings."""
        return settings_of(self.config)

    def plan(
        self, modality: str, size: MediaSize, spec: PruneSpec, kwargs: Mapping[str, object] | None = None
    ) -> TokenPlan:
        """Plan an image or a video of this size, which a request with these processor arguments sent.

        Raises:
            VLLMValidationError: the model's processor takes nothing of this size.
        """
        try:
            counted = self.family.resized(self, modality, size, without_pruning(kwargs or {}))
        except ValueError as error:
            raise VLLMValidationError(
                f"The model cannot read the {modality} of {size.width} x {size.height} pixels: {error}.",
                parameter=f"{modality}_url",
            ) from error
        return self.family.plan(self.config, counted, spec)

    @property
    def max_length(self) -> int:
        """Tokens that a prompt and its output may have."""
        return int(self.ctx.model_config.max_model_len)

    @property
    def max_position(self) -> int:
        """Positions a request may use. Beyond them the rotary embedding's table ends."""
        model_config = self.ctx.model_config
        trained = getattr(model_config.hf_text_config, "max_position_embeddings", None) or 0
        return max(int(trained), int(model_config.max_model_len))
