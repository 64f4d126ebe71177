"""Observers of prompts with images."""

from dataclasses import dataclass
from typing import Protocol

from gprune_vllm.account import VisualTokenAccount


@dataclass(frozen=True, slots=True)
class PromptRecord:
    """A prompt with images.

    Attributes:
        request_id: vLLM's id of the request.
        account: the visual tokens.
        prompt_tokens: the number of tokens after pruning.
        arrival_time: time of rendering, in seconds since the epoch.
    """

    request_id: str
    account: VisualTokenAccount
    prompt_tokens: int
    arrival_time: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Generated tokens and latencies of a prompt.

    Times are in seconds. `inter_token` is a mean, or None if there is only one token.
    """

    tokens: int
    time_to_first_token: float
    queue_time: float
    end_to_end: float
    inter_token: float | None


class Observer(Protocol):
    """Observer of prompts with images."""

    def started(self, prompt: PromptRecord) -> None:
        """Handle the start of a prompt, before it is sent to the engine."""

    def ended(self, prompt: PromptRecord, outcome: Outcome | None) -> None:
        """Handle the end of a prompt. `outcome` is None if it did not finish or if vLLM keeps no statistics."""
