"""What the unpruned model says about an answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Verdict:
    """The unpruned model's judgement of an answer.

    Attributes:
        agreement: share of the answer's tokens that the unpruned model would have put first, in [0, 1].
        gap: mean over the answer's tokens of how far each is below the unpruned model's first choice, in nats. It is 0
            where the model agrees with all tokens.
    """

    agreement: float
    gap: float

    @classmethod
    def of(cls, logprobs: Sequence[Mapping[int, Any] | None], answer: Sequence[int]) -> Self:
        """Judge an answer of at least one token.

        Args:
            logprobs: vLLM's `prompt_logprobs`, with at least the first choice at each token, of a prompt that ends with
                the answer.
            answer: token ids.
        """
        judged = zip(logprobs[-len(answer) :], answer, strict=True)
        places = [(choices[token], choices) for choices, token in judged if choices is not None]
        first = sum(given.rank == 1 for given, _ in places)
        gaps = (max(each.logprob for each in choices.values()) - given.logprob for given, choices in places)
        return cls(agreement=first / len(places), gap=fsum(gaps) / len(places))
