"""How much of the engine's work may go to judging."""

from math import inf

BURST = 100_000
"""Tokens that may be judged ahead of those that earn them, as after a start: about thirty images of LLaVA-NeXT."""


class Allowance:
    """A token bucket over tokens of prompts: those served fill it, those judged empty it.

    A judgement prefills the unpruned prompt, which costs several times what a request costs that is pruned by much. A
    share of the requests would be a larger share of the work.

    Args:
        share: of all prefilled tokens, in (0, 1], that may be judged in the long run.
    """

    def __init__(self, share: float) -> None:
        self._per_token = share / (1 - share) if share < 1 else inf
        self._left: float = BURST

    def earn(self, tokens: int) -> None:
        """Count the tokens of a prompt that is served; at least one."""
        self._left = min(BURST, self._left + self._per_token * tokens)

    def spend(self, tokens: int) -> bool:
        """Return whether a prompt may be judged, and count its tokens if so. The last one may be larger than what is
        left."""
        if self._left <= 0:
            return False
        self._left -= tokens
        return True
