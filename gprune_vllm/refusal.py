"""Requests that are refused because of their pruning: an HTTP 400 that names the field, and a reason to count."""

from typing import Literal

from vllm.exceptions import VLLMValidationError

from gprune_vllm.settings import AboveLimitError, PruneSettings

RATIO_KEY = "prune_ratio"
"""Field of the request that asks for pruning, and its key among `mm_processor_kwargs`."""

Reason = Literal["invalid_ratio", "above_limit", "positions", "embeddings"]


class PruneRefusal(VLLMValidationError):
    """Changes against `vllm.exceptions.VLLMValidationError` (vLLM 0.32): has a reason, for metrics."""

    def __init__(self, message: str, reason: Reason) -> None:
        super().__init__(message, parameter=RATIO_KEY)
        self.reason: Reason = reason


def resolve_ratio(settings: PruneSettings, requested: object | None) -> float:
    """The ratio of a request that asked for `requested`; None means the default.

    Raises:
        PruneRefusal: it is not a number in [0, 1), or above the server's limit.
    """
    try:
        return settings.resolve(requested).ratio
    except AboveLimitError as error:
        raise PruneRefusal(str(error), "above_limit") from error
    except ValueError as error:
        raise PruneRefusal(str(error), "invalid_ratio") from error
