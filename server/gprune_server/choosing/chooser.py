"""Chooses the pruning of a request in its sender's place."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from gprune_server.adaptive import RatioPolicy
from gprune_server.choosing.choices import OTHER, Choices
from gprune_server.choosing.headers import HEADERS, fields_in
from gprune_server.choosing.share import is_chosen
from gprune_vllm.settings import PruneSettings
from gprune_vllm.terms import Terms

API_KEY = "x-api-key"


class Chooser:
    """Finds out who sent the current request, and what the operator chose for it.

    Args:
        current: returns the operator's choices in force.
        policy: chooses default ratios; None if they are those of the settings.
        reads_fields: whether headers may hold pruning fields.
        tenant_header: header by which a trusted gateway names the tenant; None if there is no such gateway.
    """

    def __init__(
        self,
        current: Callable[[], Choices],
        policy: RatioPolicy | None = None,
        reads_fields: bool = False,
        tenant_header: str | None = None,
    ) -> None:
        self._current, self._policy = current, policy
        self._reads_fields, self._tenant_header = reads_fields, tenant_header

    @property
    def tenant(self) -> str:
        """Label of the sender: empty if there are no tenants, and the same for all that are no tenant."""
        choices, headers = self._current(), HEADERS.get()
        if not choices.tenants:
            return ""
        named = headers.get(self._tenant_header) if self._tenant_header else None
        if named is None:
            named = choices.keys.get(sha256(_key(headers).encode()).hexdigest())
        return named if named is not None and named in choices.tenants else OTHER

    @property
    def settings(self) -> PruneSettings:
        """The settings in force for the sender."""
        choices = self._current()
        return choices.tenants.get(self.tenant, choices.settings)

    def fields(self, model: str | None) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Return the pruning fields in the request's headers, and those of the preset that it names as its model."""
        preset = self._current().presets.get(model or "")
        return fields_in(HEADERS.get()) if self._reads_fields else {}, {} if preset is None else preset.fields

    def terms(self, request_id: str) -> Terms:
        """Return the terms of a request, its default ratio among them."""
        choices, tenant = self._current(), self.tenant
        settings = choices.tenants.get(tenant, choices.settings)
        if self._is_canary(choices, settings, request_id):
            assert choices.canary is not None
            return Terms(_with_default(settings, choices.canary.ratio), "canary", tenant)
        if self._policy is None:
            return Terms(settings, "default", tenant)
        return Terms(_with_default(settings, self._policy.ratio(settings)), self._policy.source(settings), tenant)

    def _is_canary(self, choices: Choices, settings: PruneSettings, request_id: str) -> bool:
        """Return whether a ratio is tried on a request. A tenant's own default or lower limit excludes it."""
        canary, limit = choices.canary, settings.max_prune_ratio
        if canary is None or (limit is not None and canary.ratio > limit):
            return False
        usual = choices.settings
        same = (settings.prune_policy, settings.default_prune_ratio) == (usual.prune_policy, usual.default_prune_ratio)
        return same and is_chosen(request_id, canary.fraction, "canary")


def _with_default(settings: PruneSettings, ratio: float) -> PruneSettings:
    return settings.model_copy(update={"default_prune_ratio": ratio})


def _key(headers: Mapping[str, str]) -> str:
    """Return the API key of a request, sent in either way that `guard.authentication` accepts."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else headers.get(API_KEY, "")
