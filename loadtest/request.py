"""A request, ready to be sent."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """A chat completion.

    Attributes:
        content: the body.
        prune_ratio: what it asks for; None if for nothing.
        images: how many it has.
    """

    content: bytes
    prune_ratio: float | None = None
    images: int = 1
