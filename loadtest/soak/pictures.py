"""Pictures of all shapes, some sent again and again, most only once."""

import random

from loadtest.images import draw

SIZES = (
    (1, 1),
    (1, 90),
    (90, 1),
    (5, 3),
    (64, 48),
    (112, 112),
    (300, 100),
    (100, 300),
    (224, 224),
    (700, 23),
    (640, 427),
    (1000, 750),
)
"""Width and height, from one pixel to many crops."""
FAMILIAR = 24
"""Pictures that come back, which caches should know."""


class Pictures:
    """A supply of pictures as `data:` URLs.

    Args:
        source: of chance.
    """

    def __init__(self, source: random.Random) -> None:
        self._source = source
        self._familiar = [draw(size, source) for size in (SIZES * 2)[:FAMILIAR]]

    def take(self) -> str:
        """A familiar picture or a new one."""
        if self._source.random() < 0.5:
            return self._source.choice(self._familiar)
        return draw(self._source.choice(SIZES), self._source)
