"""Refusals of requests because of their pruning: an HTTP 400 that names the field, with a reason for metrics."""

from collections.abc import Mapping

from vllm.exceptions import VLLMValidationError

from gprune_vllm.account import Source
from gprune_vllm.plan import PruneSpec, SpecError
from gprune_vllm.settings import PruneSettings
from gprune_vllm.terms import Terms

RATIO_KEY, BUDGET_KEY, METHOD_KEY = "prune_ratio", "visual_token_budget", "prune_method"
FIELDS = (RATIO_KEY, BUDGET_KEY, METHOD_KEY)
"""Fields of the request that ask for pruning, and their keys among `mm_processor_kwargs`."""
TERMS_KEY = "gprune_terms"
"""Key of the `Terms` of one request. It is no field: the server sets it."""
KEYS = (*FIELDS, TERMS_KEY)
"""All keys of pruning among `mm_processor_kwargs`."""
SETTINGS_KEY = "prune_settings"
"""Key under which the settings that shape the result enter the cache keys. Clients' values for it are dropped."""
REASONS = (
    "invalid_ratio",
    "invalid_budget",
    "invalid_method",
    "ratio_and_budget",
    "above_limit",
    "positions",
    "embeddings",
    "modality",
)
"""Reasons for refusals: values of a label of metrics."""


class PruneRefusal(VLLMValidationError):
    """Changes against `vllm.exceptions.VLLMValidationError` (vLLM 0.32): has a reason, for metrics.

    Args:
        field: the field of the request to blame.
        reason: one of `REASONS`.
    """

    def __init__(self, message: str, field: str, reason: str) -> None:
        super().__init__(message, parameter=field)
        self.reason = reason


def resolve_request(settings: PruneSettings, fields: Mapping[str, object]) -> PruneSpec:
    """Resolve the pruning fields of a request. A field that is None or absent means the default.

    Raises:
        PruneRefusal: see `PruneSettings.resolve`.
    """
    try:
        return settings.resolve(*(fields.get(key) for key in FIELDS))
    except SpecError as error:
        raise PruneRefusal(str(error), error.field, error.reason) from error


def terms_of(kwargs: Mapping[str, object], settings: PruneSettings) -> Terms:
    """Return the terms among the processor arguments of a request, or else those of the server's own settings."""
    terms = kwargs.get(TERMS_KEY)
    return terms if isinstance(terms, Terms) else Terms(settings)


def source_of(fields: Mapping[str, object], terms: Terms) -> Source:
    """Return where the ratio or the budget of a request comes from."""
    asked = fields.get(RATIO_KEY) is not None or fields.get(BUDGET_KEY) is not None
    return "request" if asked else terms.source


def blamed_field(fields: Mapping[str, object]) -> str:
    """Return the field to blame for too much pruning. The operator's default counts as a ratio."""
    return BUDGET_KEY if fields.get(BUDGET_KEY) is not None else RATIO_KEY


def without_pruning(kwargs: Mapping[str, object]) -> dict[str, object]:
    """Leave out the processor arguments of pruning."""
    return {key: value for key, value in kwargs.items() if key not in (*KEYS, SETTINGS_KEY)}
