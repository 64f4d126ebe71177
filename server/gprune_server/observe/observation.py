"""What observers of prompts with images are told."""

from dataclasses import dataclass
from typing import Protocol

from gprune_vllm.account import VisualTokenAccount


@dataclass(frozen=True, slots=True)
class PromptRecord:
    """A prompt with images on its way to the engine.

    Attributes:
        request_id: vLLM's.
        account: its visual tokens.
        prompt_tokens: its length after pruning.
        arrival_time: when it was rendered, in seconds since the epoch.
    """

    request_id: str
    account: VisualTokenAccount
    prompt_tokens: int
    arrival_time: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a prompt was answered. Times are in seconds; `inter_token` is a mean, None where one token came."""

    tokens: int
    time_to_first_token: float
    queue_time: float
    end_to_end: float
    inter_token: float | None


class Observer(Protocol):
    """Is told of each prompt with images."""

    def started(self, prompt: PromptRecord) -> None:
        """The prompt goes to the engine."""

    def ended(self, prompt: PromptRecord, outcome: Outcome | None) -> None:
        """The prompt was answered; None if it was not, or if vLLM keeps no statistics."""
