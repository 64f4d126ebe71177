"""Tokens of an answer, collected while the engine generates it."""

from typing import Any

from vllm.sampling_params import RequestOutputKind

LONGEST = 512
"""Tokens of an answer that are judged. The rest is neither kept nor judged."""


class Answer:
    """The first tokens of a prompt's first answer.

    Args:
        kind: whether each output of the engine repeats the tokens before it.

    Attributes:
        tokens: token ids, at most `LONGEST`.
        finished: whether the engine has sent all of them.
    """

    def __init__(self, kind: RequestOutputKind) -> None:
        self._repeats = kind is not RequestOutputKind.DELTA
        self.tokens: list[int] = []
        self.finished = False

    def add(self, output: Any) -> None:
        """Add the tokens of an output, a `vllm.outputs.RequestOutput` (vLLM 0.32)."""
        self.finished = output.finished
        for each in output.outputs:
            if each.index == 0:
                before = [] if self._repeats else self.tokens
                self.tokens = [*before, *each.token_ids[: LONGEST - len(before)]]
