"""What came of a request, and when."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise


@dataclass(slots=True)
class Answer:
    """A request, and what was answered until it ended or failed. Times are those of `time.perf_counter`, in seconds.

    Attributes:
        due: when it was to be sent.
        start: when it was sent.
        prune_ratio: what it asked for; None if for nothing.
        times: when text came, a time for each piece. Where an answer has no text, when its end came.
        end: when the last token came, which may have no text.
        text: all pieces.
        prompt_tokens: as the server counts them.
        completion_tokens: likewise; None if it does not tell.
        visual_input: visual tokens before pruning; None if the server tells nothing of them.
        visual_kept: visual tokens that stayed.
        error: status and message of a failure; empty if there was none.
    """

    due: float
    start: float
    prune_ratio: float | None = None
    times: list[float] = field(default_factory=list)
    end: float = 0.0
    text: str = ""
    prompt_tokens: int = 0
    completion_tokens: int | None = None
    visual_input: int | None = None
    visual_kept: int | None = None
    error: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether it was answered whole."""
        return not self.error

    @property
    def output_tokens(self) -> int:
        """Tokens of the answer: a piece each, where the server does not count them."""
        return len(self.times) if self.completion_tokens is None else self.completion_tokens

    @property
    def ttft(self) -> float:
        """Time to first token."""
        return self.times[0] - self.start if self.times else 0.0

    @property
    def itl(self) -> Sequence[float]:
        """Inter-token latencies: from each piece of text to the next."""
        return [later - earlier for earlier, later in pairwise(self.times)]

    @property
    def latency(self) -> float:
        """Time to the last token."""
        return self.end - self.start if self.times else 0.0

    @property
    def tpot(self) -> float | None:
        """Mean time of each token after the first; None where there is none."""
        return (self.latency - self.ttft) / (self.output_tokens - 1) if self.output_tokens > 1 else None

    @property
    def queue_time(self) -> float:
        """By how much it was sent late: what the client itself adds."""
        return self.start - self.due
