"""Record of the current HTTP request, shared by its handler and the renderer."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from gprune_vllm.account import VisualTokenAccount
from gprune_vllm.terms import Terms


@dataclass(slots=True)
class RequestRecord:
    """Pruning of one HTTP request.

    Attributes:
        body: the request body as received.
        accounts: one per prompt with images, added while the prompts are rendered.
        terms: the terms of all prompts, once they are chosen.
    """

    body: Any
    accounts: list[VisualTokenAccount] = field(default_factory=list)
    terms: Terms | None = None

    def usage(self) -> dict[str, Any] | None:
        """Return the value of `usage.visual_tokens`, or None for a request without images."""
        if not self.accounts:
            return None
        first = self.accounts[0]  # all prompts of a request share its pruning fields
        return {
            "input": sum(account.input for account in self.accounts),
            "kept": sum(account.kept for account in self.accounts),
            "images": sum(account.images for account in self.accounts),
            "videos": sum(account.videos for account in self.accounts),
            "prune_ratio": first.ratio if first.budget is None else self._effective_ratio(),
            "method": first.method,
            **({} if first.budget is None else {"budget": first.budget}),
            **({"source": first.source} if first.source in ("adaptive", "canary") else {}),
        }

    def _effective_ratio(self) -> float:
        """Return the fraction of patch tokens that a budget pruned over all prompts."""
        patches = sum(account.patches for account in self.accounts)
        return round(sum(account.ratio * account.patches for account in self.accounts) / patches, 4)


CURRENT_REQUEST: ContextVar[RequestRecord | None] = ContextVar("gprune_current_request", default=None)
