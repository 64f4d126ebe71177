"""Service level objectives, and which answers meet them."""

from collections.abc import Callable, Mapping

from loadtest.answer import Answer

LATENCIES: Mapping[str, Callable[[Answer], float]] = {
    "ttft": lambda answer: answer.ttft,
    "tpot": lambda answer: answer.tpot or 0.0,
    "itl": lambda answer: max(answer.itl, default=0.0),
    "e2el": lambda answer: answer.latency,
}
"""What an objective may limit. The inter-token latency of an answer is its longest, its time per token the mean."""

Objectives = Mapping[str, float]
"""Milliseconds that no more than may pass, by latency."""


def meets(answer: Answer, objectives: Objectives) -> bool:
    """Whether an answer is whole and within all objectives. Failed ones are not good, however fast they failed."""
    return answer.succeeded and all(
        LATENCIES[name](answer) * 1000 <= milliseconds for name, milliseconds in objectives.items()
    )
